"""Runs of tests are small; drawing their curves would take longer than all the rest."""

import pytest


@pytest.fixture(autouse=True)
def _no_pictures(request, monkeypatch):
    if "pictures" not in request.keywords:
        monkeypatch.setattr("gnp.training.loop.draw_curves", lambda *arguments: None)
