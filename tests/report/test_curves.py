"""Pictures of runs: they are drawn whatever was measured."""

import itertools
import math

import numpy as np
import pytest
from PIL import Image

from gnp.report import curves
from gnp.report.curves import _is_noisy, _running_mean, draw_comparison, draw_curves
from gnp.report.run_groups import Run
from gnp.report.style import BLUE, RED, new_figure


def lines(num_steps=30, **extra):
    for step in range(1, num_steps + 1):
        line = {"step": step, "train/loss": 1 / step, "train/learning_rate": 0.1}
        yield line | {name: value / step for name, value in extra.items()}


def coloured_share(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.mean(np.ptp(pixels, axis=2) > 60)


def width(path):
    with Image.open(path) as image:
        return image.width


def test_a_run_is_drawn(tmp_path):
    metrics = [*lines(**{"train/sharpness": 0.1, "eval/error_rate": 0.5})]
    draw_curves(metrics, tmp_path / "curves.png")
    assert coloured_share(tmp_path / "curves.png") > 0.001


def test_there_is_a_panel_for_what_was_measured_alone(tmp_path):
    draw_curves([*lines()], tmp_path / "two.png")
    draw_curves([*lines(**{"train/gradient_norm": 1.0})], tmp_path / "three.png")
    assert width(tmp_path / "two.png") < width(tmp_path / "three.png")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_steps_are_marked_where_evaluations_are_shown(tmp_path):
    metrics = [*lines(**{"eval/loss": 0.5})]
    for name, marks in {"no": None, "none": {"overfits": None}, "one": {"best": 20}}.items():
        draw_curves(metrics, tmp_path / f"{name}.png", marks)
    no, none, one = (pixels(tmp_path / f"{name}.png") for name in ("no", "none", "one"))
    assert (no == none).all()
    assert (no != one).any()


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_a_run_that_went_wrong_is_drawn_too(tmp_path, value):
    draw_curves(
        [{"step": 1, "train/loss": value}, {"step": 2, "eval/loss": value}],
        tmp_path / "a.png",
        {"best": 2},
    )
    draw_curves([], tmp_path / "b.png")
    assert (tmp_path / "a.png").exists()
    assert (tmp_path / "b.png").exists()


def test_a_single_evaluation_is_visible(tmp_path):
    shares = {}
    for name, last in {"none": [], "one": [{"step": 30, "eval/loss": 0.5}]}.items():
        draw_curves([*lines(), *last], tmp_path / f"{name}.png")
        shares[name] = coloured_share(tmp_path / f"{name}.png")
    assert shares["one"] > shares["none"]


def test_memorized_labels_have_a_panel(tmp_path):
    metrics = [*lines()]
    draw_curves(metrics, tmp_path / "without.png")
    noise = {"noise/memorized": 0.5, "noise/true_error_rate": 0.6}
    draw_curves([*metrics, {"step": 30, **noise}], tmp_path / "with.png")
    assert width(tmp_path / "with.png") > width(tmp_path / "without.png")


def make_run(errors, *, seed=0, memorized=(), stopped_early=False, steps=10):
    """A run that is evaluated every second epoch, an epoch being five steps."""
    config = {"seeds": seed, "total_epochs": 2 * len(errors), "evaluate_every_n_epochs": 2}
    metrics = [{"step": 10 * i, "eval/error_rate": error} for i, error in enumerate(errors, 1)]
    for line, share in zip(metrics, memorized, strict=False):
        line["noise/memorized"] = share
    summary = {"steps": steps * len(errors), "stopped_early": stopped_early}
    return Run(config, summary, metrics)


@pytest.fixture
def axes_of(monkeypatch, tmp_path):
    """A function that draws groups and returns the panels of the picture."""
    figures = []

    def remember(*size):
        figures.append(new_figure(*size))
        return figures[-1]

    monkeypatch.setattr(curves, "new_figure", remember)

    def draw(groups):
        draw_comparison(groups, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").stat().st_size > 0
        return figures[-1].axes

    return draw


def test_groups_are_compared_by_the_mean_of_their_seeds_over_the_epochs(axes_of):
    groups = {
        "standard": [make_run([0.4, 0.2]), make_run([0.6, 0.4], seed=1)],
        "SAM": [make_run([0.3, 0.1])],
    }
    (axes,) = axes_of(groups)
    *seeds, mean, other = axes.lines
    assert [list(line.get_ydata()) for line in seeds] == [[40, 20], [60, 40]]
    assert list(mean.get_xdata()) == [2, 4]
    assert list(mean.get_ydata()) == pytest.approx([50, 30])
    assert (mean.get_color(), other.get_color()) == (BLUE, RED)
    assert mean.get_linewidth() > 2 * seeds[0].get_linewidth()
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("linear", 0)
    assert axes.get_xlabel() == "epoch"
    names = [text.get_text() for text in axes.figure.legends[0].texts]
    assert names == ["standard (mean of 2 seeds)", "SAM (one seed)"]


def test_groups_of_one_colour_have_different_lines(axes_of):
    (axes,) = axes_of({str(n): [make_run([0.4, 0.2])] for n in range(9)})
    assert axes.lines[7].get_color() == axes.lines[0].get_color() == BLUE
    assert [axes.lines[n].get_linestyle() for n in (0, 6, 7)] == ["-", "-", "--"]


def test_a_second_panel_has_the_memorized_labels(axes_of):
    groups = {
        "standard": [make_run([0.4, 0.2], memorized=[0.1, 0.5])],
        "SAM": [make_run([0.4, 0.2])],
    }
    errors, memorized = axes_of(groups)
    assert errors.get_title(loc="left") == "Test error (%)"
    for run in itertools.chain(*groups.values()):
        run.config["use_test_set"] = False
    errors, _ = axes_of(groups)
    assert errors.get_title(loc="left") == "Validation error (%)"
    assert [list(line.get_ydata()) for line in memorized.lines] == [[10, 50], []]


def test_the_mean_ends_with_the_shortest_run(axes_of):
    (axes,) = axes_of({"a": [make_run([0.4, 0.2, 0.1]), make_run([0.6, 0.4], seed=1)]})
    assert list(axes.lines[-1].get_ydata()) == pytest.approx([50, 30])


@pytest.mark.parametrize("summary", [{"stopped_early": True, "steps": 20}, {}])
def test_the_epochs_of_a_run_that_did_not_end_are_known_from_its_evaluations(axes_of, summary):
    run = make_run([0.4, 0.2])
    config = dict(run.config) | {"total_epochs": 100}
    (axes,) = axes_of({"a": [Run(config, summary, run.metrics)]})
    assert list(axes.lines[0].get_xdata()) == [2, 4]


def test_without_epochs_the_axis_is_in_steps(axes_of):
    (axes,) = axes_of({"a": [Run({}, {}, make_run([0.4, 0.2]).metrics)]})
    assert axes.get_xlabel() == "step"
    assert list(axes.lines[0].get_xdata()) == [10, 20]


def test_a_single_evaluation_is_a_point_and_none_is_no_error(axes_of):
    (axes,) = axes_of({"a": [make_run([0.4])]})
    assert axes.lines[0].get_marker() == "o"
    assert axes_of({"a": [Run({}, {}, [])]}) == []


@pytest.mark.filterwarnings("error")
def test_long_names_leave_the_panels_their_place(tmp_path):
    for file, length in {"short": 10, "long": 250}.items():
        names = ("lr=0.1 " * 50)[:length], ("r=0.1 " * 50)[:length]
        draw_comparison({name: [make_run([0.4, 0.2])] for name in names}, tmp_path / f"{file}.png")
    assert width(tmp_path / "long.png") == width(tmp_path / "short.png")
    # The panels are as they were; the names make the picture higher.
    short, long = pixels(tmp_path / "short.png"), pixels(tmp_path / "long.png")
    assert 80 < len(long) - len(short) < 250


def test_running_mean_is_the_mean_of_the_last_values():
    assert _running_mean([1.0, 3.0, math.nan, 5.0], window=2) == [1.0, 2.0, 3.0, 5.0]


def test_a_schedule_is_not_noise():
    assert not _is_noisy([math.cos(x / 50) for x in range(300)])
    assert _is_noisy([math.cos(x / 50) + 0.1 * (-1) ** x for x in range(300)])
