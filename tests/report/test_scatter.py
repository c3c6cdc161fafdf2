"""Sharpness against test error."""

import pytest

from gnp.report import scatter
from gnp.report.run_groups import Run
from gnp.report.scatter import draw_sharpness_vs_error
from gnp.report.style import new_figure


def make_run(error, worst_case=None, *, m=64, step=20, at_step=None):
    measured = {
        "worst_case_rise": worst_case,
        "eigenvalues": [10.0, 1.0],
        "num_images": 100,
        "data": "train",
        "step": step,
        "settings": {"r": 0.1, "m": m, "sigma": 0.01},
    }
    metrics = [{"step": 10, "eval/error_rate": at_step}] if at_step else []
    instruments = {} if worst_case is None else {"sharpness": measured}
    return Run({}, {"final": {"eval/error_rate": error}}, metrics, instruments)


@pytest.fixture
def points_of(monkeypatch, tmp_path):
    """A function that draws groups and returns the points of each, or None without a picture."""
    figures = []

    def remember(*size):
        figures.append(new_figure(*size))
        return figures[-1]

    monkeypatch.setattr(scatter, "new_figure", remember)

    def draw(groups):
        out = tmp_path / "scatter.png"
        if not draw_sharpness_vs_error(groups, out):
            assert not out.exists()
            return None
        collections = figures[-1].axes[0].collections
        return {c.get_label(): c.get_offsets().tolist() for c in collections}

    return draw


def test_each_measured_run_is_a_point_in_the_colour_of_its_group(points_of):
    groups = {
        "standard": [make_run(0.3, 0.5), make_run(0.25, 0.75), make_run(0.2)],
        "SAM": [make_run(0.125, 0.0625)],
    }
    assert points_of(groups) == {
        "standard": [[0.5, 30], [0.75, 25]],
        "SAM": [[0.0625, 12.5]],
    }


def test_fewer_than_three_runs_make_no_picture(points_of):
    assert (
        points_of({"standard": [make_run(0.3, 0.5), make_run(0.25, 0.75), make_run(0.2)]}) is None
    )
    assert points_of({"standard": [make_run(0.3)]}) is None


def test_only_runs_with_the_same_settings_are_drawn(points_of):
    runs = [make_run(0.3, 0.5), make_run(0.25, 0.5), make_run(0.25, 0.5), make_run(0.5, 1.0, m=8)]
    assert points_of({"a": runs[1:]}) is None
    assert points_of({"a": runs}) == {"a": [[0.5, 30], [0.5, 25], [0.5, 25]]}


def test_the_error_is_that_of_the_measured_checkpoint(points_of):
    runs = [make_run(0.3, 0.5, step=step, at_step=0.25) for step in (10, 20, 20)]
    assert points_of({"a": runs}) == {"a": [[0.5, 25], [0.5, 30], [0.5, 30]]}
