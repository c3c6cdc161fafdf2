"""A run that trains in a moment, by the code behind the command."""

import pathlib

from gnp.main.config import load_config
from gnp.main.main import run

ROOT = pathlib.Path(__file__).parents[2]
FIELDS = (
    "dataset.num_train_images=128",
    "total_epochs=4",
    "save_ckpt_every_n_epochs=1",
    "model.model_name=NetToLookInto",
    f"model.model_module={ROOT / 'tests/main/small_models.py'}",
)


def train(folder):
    run(load_config("config/digits.py", FIELDS), folder)


def run_folder(folder):
    return next(folder.rglob("config.json")).parent
