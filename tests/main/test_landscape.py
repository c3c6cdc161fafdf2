"""The command that draws loss landscapes."""

import json
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from gnp.main.landscape import _between, compute
from gnp.runs.metrics import read_metrics
from gnp.training.monitoring import progress


def landscape(folder, out, *arguments):
    command = [sys.executable, "-m", "gnp.main.landscape", f"--run={folder}", f"--out={out}"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def test_between_two_checkpoints_the_ends_are_those_of_training(tiny_run, tmp_path):
    arguments = ("--checkpoint=2", "--to=last", "--points=7", "--data=test")
    result = landscape(tiny_run, tmp_path, *arguments)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "interpolation.json").read_text())
    at = dict(zip(np.round(np.ravel(figures["points"]), 6), figures["loss"], strict=True))
    lines = read_metrics(tiny_run / "metrics.jsonl")
    losses = {line["step"]: line["eval/loss"] for line in lines if "eval/loss" in line}
    assert at[0.0] == pytest.approx(losses[2], rel=1e-4)
    assert at[1.0] == pytest.approx(losses[4], rel=1e-4)
    assert (tmp_path / "interpolation.png").stat().st_size > 0
    again = landscape(tiny_run, tmp_path, *arguments)
    assert "interpolation.json already has 7 of 7 points" in again.stderr


def test_bad_values_are_refused(tiny_run, tmp_path):
    result = landscape(tiny_run, tmp_path, "--directions=3")
    assert (result.returncode, result.stderr) == (2, "--directions is 3; choose 1 or 2.\n")


def test_a_file_about_another_slice_is_replaced(tmp_path):
    file, points = tmp_path / "slice.json", np.arange(3.0)[:, None]
    compute(file, {"seed": 0}, points, lambda point: (point[0], 0.0))
    same = compute(file, {"seed": 0}, points, lambda point: (7.0, 0.0))
    assert same["loss"] == [0, 1, 2]
    other = compute(file, {"seed": 1}, points, lambda point: (7.0, 0.0))
    assert other["loss"] == [7, 7, 7]
    assert json.loads(file.read_text()) == other


@pytest.mark.parametrize("content", ["", "[]", '{"of": {}}', '{"of": {}, "loss": [1], ', "1" * 9])
def test_a_damaged_file_is_computed_again_with_a_word(tmp_path, capsys, content):
    file, points = tmp_path / "slice.json", np.arange(3.0)[:, None]
    file.write_text(content)
    figures = compute(file, {}, points, lambda point: (point[0], 0.0))
    assert figures["loss"] == [0, 1, 2]
    assert "Computing all points again" in capsys.readouterr().err


def test_a_file_of_other_points_is_replaced(tmp_path):
    file, points = tmp_path / "slice.json", np.arange(3.0)[:, None]
    file.write_text(json.dumps({"of": {}, "loss": [1, 2], "error_rate": [1, 2]}))
    assert compute(file, {}, points, lambda point: (point[0], 0.0))["loss"] == [0, 1, 2]


def test_a_log_says_how_many_points_are_done(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LONG_INTERVAL", 0)
    compute(tmp_path / "slice.json", {}, np.arange(3.0)[:, None], lambda point: (point[0], 0.0))
    assert "2 of 3 points, " in capsys.readouterr().err


def test_between_narrow_parameters_points_are_precise():
    """From 100 to 100.25 there is no number of bfloat16."""

    class ParamsInPlaceOfLoss:
        def loss_and_error(self, params, batch_stats):
            return params["a"], 0.0

    ends = [
        types.SimpleNamespace(all_params={"a": jnp.array(x, jnp.bfloat16)}, batch_stats={})
        for x in (100, 101)
    ]
    value, _ = _between(ParamsInPlaceOfLoss(), *ends)(np.array([0.25]))
    assert value == pytest.approx(100.25)
