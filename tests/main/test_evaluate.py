"""The command that evaluates a run."""

import json
import pathlib

import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.evaluate import evaluate_run
from gnp.main.main import run
from gnp.training.metrics_writer import read_metrics

TINY = (
    "dataset.num_train_images=128",
    "total_epochs=3",
    "save_ckpt_every_n_epochs=1",
    "model.model_name=ViT_Micro",
    "keep_latest_checkpoints=3",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    working_dir = tmp_path_factory.mktemp("runs")
    run(load_config("config/digits.py", TINY), working_dir)
    return next(working_dir.rglob("summary.json")).parent


def settings_of(folder, *overrides):
    return load_config(str(folder / "config.json"), overrides)


def test_config_json_alone_gives_the_config_back(folder):
    assert settings_of(folder) == load_config("config/digits.py", TINY)


def test_figures_are_those_of_training(folder):
    evaluations = [m for m in read_metrics(folder / "metrics.jsonl") if "eval/loss" in m]
    for metrics in evaluations:
        figures = evaluate_run(folder, settings_of(folder), str(metrics["step"]))
        assert figures["error_rate"] == pytest.approx(metrics["eval/error_rate"], abs=1e-6)
        assert figures["loss"] == pytest.approx(metrics["eval/loss"], rel=1e-4)
        assert figures["num_images"] == 360


def test_best_and_last_are_found(folder):
    summary = json.loads((folder / "summary.json").read_text())
    best = evaluate_run(folder, settings_of(folder), "best")
    assert best["error_rate"] == pytest.approx(summary["best"]["eval/error_rate"], abs=1e-6)
    assert evaluate_run(folder, settings_of(folder), "last")["step"] == summary["steps"]


def test_unknown_checkpoint_is_refused(folder):
    with pytest.raises(UserError, match="Unknown checkpoint '7'; known: "):
        evaluate_run(folder, settings_of(folder), "7")


def test_other_model_is_refused(folder):
    other = settings_of(folder, "model.model_params.hidden_size=16")
    with pytest.raises(UserError, match="of another model or optimizer"):
        evaluate_run(folder, other, "last")


def test_folder_without_checkpoints_says_so(folder, tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        evaluate_run(pathlib.Path(tmp_path), settings_of(folder), "best")
