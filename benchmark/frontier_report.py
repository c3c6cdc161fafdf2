"""Table and picture of the frontier: test error against cost."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from gnp.files import make_folder, write_atomically
from gnp.report.seeds import Difference, Sample, paired_difference
from gnp.report.style import BLUE, GRAY, RED, SMALL, new_figure, plain, save_figure, tidy

Row = Mapping[str, Any]

REFERENCE, FULL = "standard", "penalty"


def write(rows: Sequence[Row], folder: pathlib.Path) -> None:
    """Writes frontier.json, frontier.md and frontier.png.

    Args:
      rows: as `benchmark.frontier` prints them.
      folder: created if need be.
    """
    folder = make_folder(str(folder), "--out")
    write_atomically(folder / "frontier.json", json.dumps(rows, indent=2).encode())
    write_atomically(folder / "frontier.md", table(rows).encode())
    draw(rows, folder / "frontier.png")


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, with 95 % intervals of the paired differences to standard training."""
    by_name = {row["method"]: row for row in rows}
    lines = [
        "| method | chosen | passes | time / standard | test error (%) | lower than standard by "
        "| of the gain of `penalty` | right labels: test error (%) | higher than standard by |",
        "|---" * 9 + "|",
    ]
    for row in rows:
        gain = _difference(row, by_name.get(REFERENCE), "error_percent")
        loss = _difference(row, by_name.get(REFERENCE), "clean_error_percent")
        cells = (
            row["method"],
            "" if row["chosen"] is None else f"{row['chosen']:g}",
            f"{row['passes']:.2f}",
            f"{row['time/standard']:.2f}",
            _mean(row["error_percent"]),
            _points(gain, -1),
            _share(row, by_name),
            _mean(row["clean_error_percent"]),
            _points(loss, 1),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def share_of_gain(row: Row, by_name: Mapping[str, Row]) -> float | None:
    """How much of the two-pass penalty's gain over standard training a method keeps; 1: all."""
    if REFERENCE not in by_name or FULL not in by_name:
        return None
    standard, full, own = (
        _sample(one["error_percent"]).mean for one in (by_name[REFERENCE], by_name[FULL], row)
    )
    return (standard - own) / (standard - full) if standard != full else None


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """The methods that no other one beats in both passes and error, by passes."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["passes"], _error(row))):
        if not front or _error(row) < _error(front[-1]):
            front.append(row)
    return front


def draw(rows: Sequence[Row], out_path: pathlib.Path) -> None:
    """Draws test error over the passes of a step, with the Pareto front.

    Passes are counted, and so do not depend on the machine and on what else it does, as times do.
    """
    figure = new_figure(7.5, 4.5)
    axes = figure.add_subplot()
    tidy(axes, "", "passes of a step", "test error (%), mean over the seeds")
    front = pareto_front(rows)
    for row in rows:
        errors, passes = row["error_percent"], row["passes"]
        colour = RED if row in front else BLUE
        axes.plot(
            [passes, passes], [min(errors), max(errors)], color=colour, linewidth=0.8, alpha=0.5
        )
        axes.plot(passes, _error(row), "o", color=colour, markersize=5)
        axes.annotate(
            plain(row["method"]),
            (passes, _error(row)),
            textcoords="offset points",
            xytext=(5, 3),
            fontsize=SMALL - 1,
            color=GRAY,
        )
    axes.step(
        [row["passes"] for row in front],
        [_error(row) for row in front],
        where="post",
        color=RED,
        linewidth=1,
        label="Pareto front",
    )
    if all(_error(row) > 0 for row in rows):
        axes.set_yscale("log")
    axes.legend(fontsize=SMALL, frameon=False)
    save_figure(figure, out_path)


def _error(row):
    return _sample(row["error_percent"]).mean


def _sample(values):
    return Sample(dict(enumerate(values)))


def _difference(row, reference, key) -> Difference | None:
    if reference is None or row is reference or not row[key]:
        return None
    return paired_difference(_sample(row[key]), _sample(reference[key]))


def _mean(values):
    return _sample(values).text(".2f") if values else ""


def _points(difference, sign):
    if difference is None:
        return ""
    margin = "" if difference.margin is None else f" ± {difference.margin:.2f}"
    return f"{sign * difference.mean:.2f}{margin}"


def _share(row, by_name):
    share = share_of_gain(row, by_name)
    return "" if share is None or row["method"] == REFERENCE else f"{100 * share:.0f} %"
