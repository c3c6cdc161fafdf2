"""What a summary says where lines of the metrics are lost."""

import math

import pytest

from gnp.errors import UserError
from gnp.runs.summary import ended_as_before, summarize, write_results
from gnp.training.position import Position

LINES = [
    {"step": step, "eval/error_rate": error, "eval/loss": 2 * error}
    for step, error in ((4, 0.5), (8, 0.25), (12, 0.375))
]
POSITION = Position(12, 12, 8, 0.25, seconds=2.0)


def summary_of(metrics, position=POSITION):
    return summarize(
        metrics,
        [],
        position,
        best_metric="eval/error_rate",
        stopped_early=False,
        batch_size=10,
    )


def test_it_is_that_of_all_lines():
    found = summary_of(LINES)
    assert (found["steps"], found["best"]) == (12, LINES[1])
    assert found["final"] == {"eval/error_rate": 0.375, "eval/loss": 0.75}
    assert found["images_per_second"] == 60


def test_no_other_evaluation_is_taken_for_the_best():
    found = summary_of([LINES[0], LINES[2]])["best"]
    assert found == {"step": 8, "eval/error_rate": 0.25}
    changed = LINES[0] | {"eval/error_rate": 0.125}
    assert summary_of([changed, *LINES[1:]])["best"]["step"] == 8


def test_the_best_by_another_metric_has_no_error():
    position = POSITION._replace(best_step=4, best_value=0.125)
    found = summarize(
        LINES, [], position, best_metric="eval/loss", stopped_early=False, batch_size=10
    )["best"]
    assert (found["step"], found["eval/loss"]) == (4, 0.125)
    assert math.isnan(found["eval/error_rate"])


@pytest.mark.parametrize("lines", [[], LINES[:2], [{"step": 12, "train/loss": 1.0}]])
def test_no_other_evaluation_is_taken_for_the_last(lines):
    with pytest.raises(UserError, match=r"lacks the evaluation of step 12.*retrain=True"):
        summary_of(lines)


def test_an_early_position_knows_of_no_evaluation():
    assert summary_of(LINES, Position(12))["best"] == LINES[1]


def test_without_a_saved_state_there_is_no_summary(tmp_path):
    summary = summary_of(LINES)
    assert write_results(tmp_path, summary, LINES, is_saved=False) == ["summary.json"]
    assert not (tmp_path / "summary.json").exists()
    assert write_results(tmp_path, summary, LINES, is_saved=True) == []
    assert (tmp_path / "summary.json").exists()


def test_the_curves_mark_where_a_field_was_changed(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "gnp.runs.summary.draw_curves", lambda metrics, path, marks: drawn.update(marks)
    )
    lines = [LINES[0], {"step": 4, "config/base_lr": 0.05}, *LINES[1:]]
    write_results(tmp_path, summary_of(lines), lines, is_saved=True)
    assert drawn == {"best": 8, "overfitting": None, "base_lr = 0.05": 4}


def test_the_time_of_the_end_changes_only_where_something_was_trained(tmp_path):
    first = summary_of(LINES) | {"ended": "2026-01-01T00:00:00+00:00"}
    write_results(tmp_path, first, LINES, is_saved=True)
    again = summary_of(LINES)
    assert ended_as_before(tmp_path, again)["ended"] == first["ended"]
    assert ended_as_before(tmp_path, again | {"steps": 16})["ended"] == again["ended"]
    assert ended_as_before(tmp_path / "other", again) == again
