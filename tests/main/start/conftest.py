"""What the tests of a start share."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _no_pictures():
    """Runs of tests are small; drawing their curves would take longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gnp.runs.summary.draw_curves", lambda *arguments: None)
        yield
