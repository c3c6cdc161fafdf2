"""Pictures of the metrics of runs: one run over its steps, groups of runs over their epochs."""

import itertools
import math
import os
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gnp.report.loss_names import evaluated_part
from gnp.report.run_groups import Run
from gnp.report.style import GRAY, LINES, SERIES, SMALL, new_figure, plain, save_figure, tidy

# Of groups, in order.
_LOOKS = tuple(itertools.product(LINES, SERIES))


class _Panel(NamedTuple):
    """Curves that share axes: metrics and their names in the legend."""

    title: str
    curves: tuple[tuple[str, str], ...]
    logarithmic: bool = False
    percent: bool = False


_PANELS = (
    _Panel(
        "Loss",
        (
            ("train/loss", "train"),
            ("eval/loss", "evaluation"),
            ("eval_ema/loss", "evaluation, moving average"),
        ),
        logarithmic=True,
    ),
    _Panel(
        "Error (%)",
        (
            ("train/error_rate", "train"),
            ("eval/error_rate", "evaluation"),
            ("eval_ema/error_rate", "evaluation, moving average"),
        ),
        percent=True,
    ),
    _Panel(
        "Training images with a wrong label (%)",
        (
            ("noise/memorized", "wrong label predicted: memorized"),
            ("noise/true_error_rate", "true label not predicted"),
        ),
        percent=True,
    ),
    _Panel("Learning rate", (("train/learning_rate", "learning rate"),)),
    _Panel(
        "Gradient norm",
        (
            ("train/gradient_norm_clean", "‖g₁‖ at θ"),
            ("train/gradient_norm_perturbed", "‖g₂‖ at θ + r·v"),
            ("train/gradient_norm", "applied"),
        ),
        logarithmic=True,
    ),
    _Panel("Sharpness  L(θ + r·v) − L(θ)", (("train/sharpness", "sharpness"),)),
    _Panel("Cosine of g₁ and g₂", (("train/gradient_cosine", "cosine"),)),
)
_COMPARED = (
    ("eval/error_rate", "{part} error (%)"),
    ("noise/memorized", "Memorized: wrong labels of training images that the model predicts (%)"),
)

_MARK_STYLES = (":", "--", "-.")

# Characters of a legend's line that a panel's width has room for.
_LEGEND_WIDTH = 64

# The running mean is drawn over a curve that has more points than this and is noisy.
_FEW_POINTS = 200


def draw_curves(
    metrics: Sequence[Mapping[str, float]],
    out_path: str | os.PathLike,
    marks: Mapping[str, int | None] | None = None,
) -> None:
    """Draws one run: loss, error, memorized labels, gradient norms and sharpness over its steps.

    Args:
      metrics: the lines of its `metrics.jsonl`, from `read_metrics`. A panel is drawn if the run
        has one of its metrics.
      out_path: the PNG to write.
      marks: steps to mark where evaluations are shown, by the name that the legend gives them.
    """
    marks = {name: step for name, step in (marks or {}).items() if step}
    panels = [panel for panel in _PANELS if any(_has(metrics, key) for key, _ in panel.curves)]
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = new_figure(4.6 * columns, 3.2 * rows)
    for number, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, number)
        tidy(axes, panel.title, "step")
        for colour, (key, label) in zip(SERIES, panel.curves, strict=False):
            _draw_curve(axes, metrics, key, panel.percent, colour, label)
        if panel.logarithmic and any(y > 0 for line in axes.lines for y in line.get_ydata()):
            axes.set_yscale("log", nonpositive="mask")
        if any(key.startswith("eval") for key, _ in panel.curves):
            _draw_marks(axes, marks)
        if len(panel.curves) > 1:
            axes.legend(facecolor="white", edgecolor="none", framealpha=0.8, fontsize=SMALL)
    save_figure(figure, out_path)


def draw_comparison(groups: Mapping[str, Sequence[Run]], out_path: str | os.PathLike) -> None:
    """Draws groups of runs: the error over the epochs and, below it, the memorized labels.

    A thin line is a run, a thick line the mean of a group that has several.

    Args:
      groups: runs that differ in their seeds alone, by name.
      out_path: the PNG to write.
    """
    runs = [run for group in groups.values() for run in group]
    part = evaluated_part(run.config for run in runs).capitalize()
    panels = [(key, title) for key, title in _COMPARED if any(_has(r.metrics, key) for r in runs)]
    lengths = [_steps_per_epoch(run) for run in runs]
    x_label = "epoch" if all(lengths) else "step"
    names = [_legend_name(name, group) for name, group in groups.items()]
    legend_lines = sum(name.count("\n") + 1 for name in names)
    figure = new_figure(6.4, 3.4 * max(1, len(panels)) + 0.16 * legend_lines)
    handles = []
    for number, (key, title) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, number)
        tidy(axes, title.format(part=part), x_label)
        handles = [
            _draw_group(axes, [_points(run, key, x_label) for run in group], *look)
            for look, group in zip(itertools.cycle(_LOOKS), groups.values(), strict=False)
        ]
        axes.set_ylim(bottom=0)
    if handles:
        place = {"loc": "outside lower left", "frameon": False, "fontsize": SMALL}
        figure.legend(handles, names, **place)
    save_figure(figure, out_path)


def _legend_name(name, runs):
    seeds = {run.seeds for run in runs}
    size = "one seed" if len(seeds) == 1 else f"mean of {len(seeds)} seeds"
    return plain(textwrap.fill(f"{name} ({size})", _LEGEND_WIDTH))


def _steps_per_epoch(run):
    """From the length of a finished run, else from its first evaluation; None if unknown."""
    epochs, every = (run.config.get(f) for f in ("total_epochs", "evaluate_every_n_epochs"))
    steps = run.summary.get("steps")
    if epochs and steps and not run.summary.get("stopped_early"):
        return steps / epochs
    evaluated = [line["step"] for line in run.metrics if "eval/error_rate" in line and line["step"]]
    return evaluated[0] / min(every, epochs) if evaluated and every and epochs else None


def _points(run, key, x_label):
    length = _steps_per_epoch(run) if x_label == "epoch" else 1
    lines = [line for line in run.metrics if math.isfinite(line.get(key, math.nan))]
    return {line["step"] / length: 100 * line[key] for line in lines}


def _draw_group(axes, curves, line, colour):
    """Draws one group and returns the line that stands for it in a legend."""
    curves = [curve for curve in curves if curve]
    if len(curves) > 1:
        for curve in curves:
            axes.plot(list(curve), curve.values(), color=colour, linewidth=0.6, alpha=0.45)
    shared = sorted(set.intersection(*map(set, curves))) if curves else []
    marker = "o" if len(shared) == 1 else None  # a line of one point is not visible
    means = [statistics.mean(curve[x] for curve in curves) for x in shared]
    look = {"color": colour, "linestyle": line, "linewidth": 1.8, "marker": marker}
    return axes.plot(shared, means, **look)[0]


def _draw_marks(axes, marks):
    for style, (name, step) in zip(itertools.cycle(_MARK_STYLES), marks.items(), strict=False):
        label = f"{name}: step {step}"
        axes.axvline(step, color=GRAY, linestyle=style, linewidth=1, zorder=0, label=label)


def _has(metrics, key):
    return any(key in line for line in metrics)


def _draw_curve(axes, metrics, key, percent, colour, label):
    points = [(line["step"], line[key]) for line in metrics if key in line]
    if not points:
        return
    steps, values = zip(*points, strict=True)
    values = [100 * value if percent else value for value in values]
    if len(points) <= _FEW_POINTS or not _is_noisy(values):
        marker = "o" if len(points) == 1 else None  # a line of one point is not visible
        axes.plot(steps, values, color=colour, linewidth=1.4, marker=marker, label=label)
        return
    axes.plot(steps, values, color=colour, linewidth=0.5, alpha=0.2)
    window = len(points) // 50
    axes.plot(steps, _running_mean(values, window), color=colour, linewidth=1.4, label=label)


def _is_noisy(values):
    """Whether the curve reverses at more than a tenth of its points; a schedule does not."""
    differences = [b - a for a, b in itertools.pairwise(values)]
    reversals = sum(a * b < 0 for a, b in itertools.pairwise(differences))
    return reversals > len(values) / 10


def _running_mean(values, window):
    """The mean of the last `window` finite values at each point."""
    means, recent = [], []
    for value in values:
        recent = [*recent, value][-window:]
        finite = [v for v in recent if math.isfinite(v)]
        means.append(sum(finite) / len(finite) if finite else math.nan)
    return means
