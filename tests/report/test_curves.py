"""Pictures of runs: they are drawn whatever was measured."""

import math

import numpy as np
import pytest
from PIL import Image

from gnp.report.curves import _is_noisy, _running_mean, draw_comparison, draw_curves


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
    for name, marks in {"no": None, "none": {"parted": None}, "one": {"best": 20}}.items():
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


def test_a_single_evaluation_is_seen(tmp_path):
    for name, metrics in {
        "none": [*lines()],
        "one": [*lines(), {"step": 30, "eval/loss": 0.5}],
    }.items():
        draw_comparison({"run": [metrics]}, tmp_path / f"{name}.png")
        draw_curves(metrics, tmp_path / f"run_{name}.png")
    assert coloured_share(tmp_path / "run_one.png") > coloured_share(tmp_path / "run_none.png")
    with_panel = coloured_share(tmp_path / "one.png") * 3  # panels instead of two
    assert with_panel > 2 * coloured_share(tmp_path / "none.png")


def test_runs_are_compared(tmp_path):
    groups = {
        "plain": [[*lines()], [*lines(400)]],
        "penalized": [[*lines(**{"train/sharpness": 1.0})]],
    }
    draw_comparison(groups, tmp_path / "curves.png")
    assert coloured_share(tmp_path / "curves.png") > 0.001


@pytest.mark.filterwarnings("error")
def test_long_names_leave_the_panels_their_place(tmp_path):
    for file, length in {"short": 10, "long": 250}.items():
        names = ("lr=0.1 " * 50)[:length], ("r=0.1 " * 50)[:length]
        draw_comparison({name: [[*lines()]] for name in names}, tmp_path / f"{file}.png")
    assert width(tmp_path / "long.png") == width(tmp_path / "short.png")
    # The panels are as they were; the names make the picture higher.
    short, long = pixels(tmp_path / "short.png"), pixels(tmp_path / "long.png")
    assert 40 < len(long) - len(short) < 100
    assert coloured_share(tmp_path / "long.png") > 0.8 * coloured_share(tmp_path / "short.png")


def test_running_mean_is_the_mean_of_the_last_values():
    assert _running_mean([1.0, 3.0, math.nan, 5.0], window=2) == [1.0, 2.0, 3.0, 5.0]


def test_a_schedule_is_not_noise():
    assert not _is_noisy([math.cos(x / 50) for x in range(300)])
    assert _is_noisy([math.cos(x / 50) + 0.1 * (-1) ** x for x in range(300)])
