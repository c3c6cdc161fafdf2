"""Early stopping: when the evaluations no longer get better, whatever interrupts them."""

import math

import pytest

from gnp.runs.metrics import read_metrics
from gnp.training import evaluate
from gnp.training.interrupt import Interrupted
from gnp.training.position import Position
from tests.training.interruptions import DyingSource, stop_after
from tests.training.toy import train_toy

# Of each epoch of four steps; the best are those of steps 4, 8 and 24.
ERRORS = (0.5, 0.4, 0.45, 0.4, 0.42, 0.3, 0.35, 0.31)


@pytest.fixture(autouse=True)
def _scripted_errors(monkeypatch):
    def scripted(eval_step, state, batches, device_data):
        error = ERRORS[int(state.step) // 4 - 1]
        return {"loss": 1.0, "error_rate": error, "top_5_error_rate": 0.0, "num_images": 21}

    monkeypatch.setattr(evaluate, "evaluate", scripted)


def run(folder, patience, source=None, **overrides):
    return train_toy(
        folder, source, total_epochs=len(ERRORS), early_stopping_patience=patience, **overrides
    )


def evaluated_steps(folder):
    return [m["step"] for m in read_metrics(folder / "metrics.jsonl") if "eval/loss" in m]


@pytest.mark.parametrize(
    ("patience", "last", "best"), [(1, 12, 8), (2, 16, 8), (3, 20, 8), (4, 32, 24), (0, 32, 24)]
)
def test_a_run_stops_after_so_many_evaluations_without_a_better_one(tmp_path, patience, last, best):
    summary = run(tmp_path, patience)
    assert evaluated_steps(tmp_path)[-1] == summary["steps"] == last
    assert summary["best"]["step"] == best
    assert summary["stopped_early"] == (last < 32)


def test_a_run_that_has_stopped_stays_so(tmp_path):
    first = run(tmp_path, 2)
    assert run(tmp_path, 2) == first
    assert evaluated_steps(tmp_path) == [4, 8, 12, 16]


@pytest.mark.parametrize("step", [6, 8, 12, 14, 16])
def test_an_interrupted_run_stops_where_the_uninterrupted_one_does(tmp_path, step, monkeypatch):
    run(tmp_path / "whole", 2)
    stop_after(step, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", 2)
    run(tmp_path / "stopped", 2)
    whole, stopped = (tmp_path / name / "metrics.jsonl" for name in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()


@pytest.mark.parametrize("before_batch", [5, 9, 13])
def test_a_crashed_run_stops_where_the_uninterrupted_one_does(tmp_path, before_batch):
    run(tmp_path / "whole", 2)
    with pytest.raises(OSError, match="disk"):
        run(tmp_path / "crashed", 2, DyingSource(before_batch=before_batch))
    run(tmp_path / "crashed", 2)
    whole, crashed = (tmp_path / name / "metrics.jsonl" for name in ("whole", "crashed"))
    assert whole.read_bytes() == crashed.read_bytes()


def test_the_best_is_saved_and_kept_whenever_it_comes(tmp_path):
    run(tmp_path, 0, save_ckpt_every_n_epochs=100, keep_latest_checkpoints=1)
    steps = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
    assert steps == {24, 32}


def test_no_best_is_kept_where_none_is_asked_for(tmp_path):
    run(tmp_path, 0, save_ckpt_every_n_epochs=100, keep_best_checkpoints=0)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["32"]


@pytest.mark.parametrize(
    ("best_value", "value", "is_improved"),
    [
        (None, 0.5, True),
        (None, math.nan, False),
        (0.5, 0.4, True),
        (0.5, 0.5, False),
        (0.5, 0.6, False),
        (0.5, math.nan, False),
        (0.5, -math.inf, False),
    ],
)
def test_better_is_smaller_and_finite(best_value, value, is_improved):
    assert Position(best_value=best_value).is_improved_by(value) == is_improved
