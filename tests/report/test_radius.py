"""The error over the radius of the penalty."""

import dataclasses

import pytest

from gnp.report import radius
from gnp.report.radius import by_radius, draw_error_by_radius, radius_table
from gnp.report.style import new_figure
from tests.report.test_comparison import make_run, results


def run(error, r=0.0, seed=0, *, train_error=0.1, cosine=None, **config):
    """A run of twenty steps whose last two have the values given here."""
    end = {"train/error_rate": train_error}
    end |= {} if cosine is None else {"train/gradient_cosine": cosine}
    start = dict.fromkeys(end, 0.9)
    made = make_run(error, seed, r)
    made.config.update(config, use_test_set=False)
    steps = [{"step": step, **(end if step > 18 else start)} for step in range(1, 21)]
    return dataclasses.replace(made, metrics=steps)


RUNS = [
    run(0.4, train_error=0.0),
    run(0.3, 1.0, 0, train_error=0.2, cosine=0.7),
    run(0.2, 1.0, 1, train_error=0.4, cosine=0.9),
    run(0.1, 0.2, cosine=0.95),
]


def test_each_radius_has_its_error_and_what_training_is_like_at_the_end():
    head, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in radius_table(by_radius(results(*RUNS))).splitlines()
    )
    assert head[:2] == ["r", "validation error (%)"]
    assert rows == [
        ["standard", "40.00", "0.00", ""],
        ["0.2", "10.00", "10.00", "0.95"],
        ["1", "25.00 ± 7.07", "30.00 ± 14.14", "0.80 ± 0.14"],
    ]


@pytest.mark.parametrize(
    "runs",
    [
        RUNS[:3],  # one radius
        [*RUNS, run(0.1, 0.5, **{"gnp.alpha": 0.3})],  # another difference
        [run(0.1, 0.2), run(0.1, 0.5, base_lr=0.3)],
        [*RUNS, run(0.1, base_lr=0.3)],  # two kinds of standard training
    ],
)
def test_groups_that_do_not_differ_in_the_radius_alone_have_no_curve(runs):
    assert by_radius(results(*runs)) == {}


def test_the_curves_are_drawn_over_the_radius_and_standard_training_is_level(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(
        radius, "new_figure", lambda *s: figures.append(new_figure(*s)) or figures[-1]
    )
    draw_error_by_radius(by_radius(results(*RUNS)), tmp_path / "radius.png")
    assert (tmp_path / "radius.png").stat().st_size > 0
    (axes,) = figures[0].axes
    errors, training = (bar.lines[0] for bar in axes.containers)
    assert list(errors.get_xdata()) == [0.2, 1.0]
    assert list(errors.get_ydata()) == pytest.approx([10, 25])
    assert list(training.get_ydata()) == pytest.approx([10, 30])
    names = [text.get_text() for text in figures[0].legends[0].texts]
    assert set(names) == {
        "validation",
        "validation, standard training",
        "training, end",
        "training, end, standard training",
    }
    levels = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert levels == pytest.approx([40, 0])
