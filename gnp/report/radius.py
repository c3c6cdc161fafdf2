"""The error over the radius of the penalty, to choose the radius by."""

import math
import os
import statistics
from collections.abc import Sequence

from gnp.report.comparison import GroupResult, part
from gnp.report.run_groups import differing_fields, is_standard
from gnp.report.seeds import Sample, sample
from gnp.report.style import BLUE, RED, SMALL, new_figure, save_figure, tidy
from gnp.report.table import aligned

_RADIUS = "gnp.r"
# Training metrics are means over this last share of a run's steps.
_END = 0.1


def by_radius(results: Sequence[GroupResult]) -> dict[float, GroupResult]:
    """The groups by their radius, in its order; standard training, if it is there, has radius 0.

    Empty unless there are two radii above 0, and nothing but the radius differs between them.
    """
    found, penalized = {}, []
    for result in results:
        config = result.runs[0].config
        radius = 0.0 if is_standard(config) else config.get(_RADIUS, 0.0)
        if radius:
            penalized += result.runs
        if radius in found:
            return {}
        found[radius] = result
    return dict(sorted(found.items())) if differing_fields(penalized) == [_RADIUS] else {}


def radius_table(results: dict[float, GroupResult]) -> str:
    """A row in Markdown for each radius.

    Args:
      results: from `by_radius`.
    """
    head = [
        *("r", f"{part(results.values())} error (%)"),
        *("training error, end (%)", "cosine of both gradients, end"),
    ]
    rows = [
        [
            f"{radius:g}" if radius else "standard",
            _text(_error(result)),
            _text(_training_error(result)),
            _text(_at_end(result, "train/gradient_cosine")),
        ]
        for radius, result in results.items()
    ]
    return aligned(head, rows)


def draw_error_by_radius(results: dict[float, GroupResult], out_path: str | os.PathLike) -> None:
    """Draws the error and the training error at the end over the radius.

    A bar is one standard deviation to each side, a dashed line standard training.

    Args:
      results: from `by_radius`.
      out_path: the PNG to write.
    """
    figure = new_figure(5.6, 3.8)
    axes = figure.add_subplot()
    tidy(axes, "", "radius r of the penalty", "error (%)")
    curves = (part(results.values()), BLUE, _error), ("training, end", RED, _training_error)
    for name, colour, read in curves:
        points = {radius: found for radius, result in results.items() if (found := read(result))}
        standard = points.pop(0.0, None)
        means = [found.mean for found in points.values()]
        bars = [found.standard_deviation or 0.0 for found in points.values()]
        axes.errorbar(list(points), means, bars, color=colour, marker="o", capsize=3, label=name)
        if standard:
            name = f"{name}, standard training"
            axes.axhline(standard.mean, color=colour, linestyle="--", linewidth=1, label=name)
    radii = [radius for radius in results if radius]
    axes.set_xscale("log")
    axes.set_xticks(radii, [f"{radius:g}" for radius in radii])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=SMALL)
    save_figure(figure, out_path)


def _error(result):
    return result.quantities["test_error"]


def _training_error(result):
    found = _at_end(result, "train/error_rate")
    return found and Sample({seeds: 100 * value for seeds, value in found.by_seeds.items()})


def _at_end(result, key):
    """The mean of a metric over the end of each run; None where no run has it."""

    def mean(run):
        last = max((line["step"] for line in run.metrics), default=0)
        end = [line for line in run.metrics if line["step"] > (1 - _END) * last]
        values = [line[key] for line in end if math.isfinite(line.get(key, math.nan))]
        return statistics.fmean(values) if values else None

    return sample(result.runs, mean)


def _text(values):
    return values.text(".2f") if values else ""
