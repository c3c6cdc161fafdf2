"""Sharpness against the test or validation error, one point for each run."""

import collections
import itertools
import os

from gnp.report.comparison import sharpness_settings
from gnp.report.loss_names import evaluated_part
from gnp.report.run_groups import Groups, Run
from gnp.report.style import SERIES, SMALL, new_figure, plain, save_figure, tidy

# With fewer points a scatter plot shows nothing.
_FEWEST_RUNS = 3
# The axis is logarithmic if the values span more than this factor.
_WIDE = 10

_AXES = (
    ("worst-case sharpness", lambda s: s["worst_case_rise"]),
    ("top eigenvalue of the Hessian", lambda s: s["eigenvalues"][0]),
)

# Colours repeat with the next marker.
_MARKERS = ("o", "^", "s", "D")


def draw_sharpness_vs_error(groups: Groups, out_path: str | os.PathLike) -> bool:
    """Draws the error of each run over its sharpness.

    The error is that of the checkpoint that was measured, if the run evaluated it, else the final
    one. Only runs that were measured with the same settings compare: those with the most frequent
    settings are drawn.

    Args:
      groups: runs by the name of their group.
      out_path: the PNG to write.

    Returns:
      Whether there is a picture: fewer than three runs make none.
    """
    runs = [run for group in groups.values() for run in group]
    counts = collections.Counter(filter(None, map(sharpness_settings, runs)))
    settings, count = counts.most_common(1)[0] if counts else ("", 0)
    if count < _FEWEST_RUNS:
        return False
    error = f"{evaluated_part(run.config for run in runs)} error (%)"
    figure = new_figure(4.2 * len(_AXES), 3.8 + 0.16 * len(groups))
    figure.suptitle(plain(settings), fontsize=SMALL, x=0.01, ha="left")
    handles = {}
    for number, (quantity, read) in enumerate(_AXES, 1):
        axes = figure.add_subplot(1, len(_AXES), number)
        tidy(axes, "", quantity, error)
        points = {
            name: [
                (read(run.instruments["sharpness"]), 100 * _error(run))
                for run in group
                if sharpness_settings(run) == settings
            ]
            for name, group in groups.items()
        }
        looks = itertools.product(_MARKERS, SERIES)
        for (marker, colour), (name, pairs) in zip(looks, points.items(), strict=False):
            if pairs:
                label = plain(name)
                handles[label] = axes.scatter(
                    *zip(*pairs, strict=True), s=26, color=colour, marker=marker, label=label
                )
        if _is_wide([x for pairs in points.values() for x, _ in pairs]):
            _set_logarithmic(axes)
        axes.set_ylim(bottom=0)
    place = {"loc": "outside lower left", "frameon": False, "fontsize": SMALL}
    figure.legend(handles.values(), handles.keys(), **place)
    save_figure(figure, out_path)
    return True


def _set_logarithmic(axes):
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


def _error(run: Run) -> float:
    """The error of the checkpoint whose sharpness was measured."""
    step = run.instruments["sharpness"].get("step")
    evaluated = [line for line in run.metrics if "eval/error_rate" in line]
    at_step = [line["eval/error_rate"] for line in evaluated if line["step"] == step]
    return at_step[-1] if at_step else run.summary["final"]["eval/error_rate"]


def _is_wide(values):
    return min(values) > 0 and max(values) > _WIDE * min(values)
