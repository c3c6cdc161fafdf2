"""A run that nothing happened to."""

import pytest

from tests.faults.small_run import run_folder, train


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder)
    return run_folder(folder)
