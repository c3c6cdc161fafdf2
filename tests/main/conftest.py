"""A finished run for the commands that look at one."""

import pathlib

import pytest

from gnp.main.config import load_config
from gnp.main.main import run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The folder of a run of a few steps."""
    working_dir = tmp_path_factory.mktemp("tiny")
    fields = (
        "dataset.num_train_images=128",
        "total_epochs=2",
        "model.model_name=NetToLookInto",
        f"model.model_module={pathlib.Path(__file__).with_name('small_models.py')}",
        "save_ckpt_every_n_epochs=1",
    )
    run(load_config("config/digits.py", fields), working_dir)
    return next(working_dir.rglob("summary.json")).parent
