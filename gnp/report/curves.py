"""Pictures of the metrics of runs over their steps."""

import itertools
import math
import os
import textwrap
from collections.abc import Mapping, Sequence

# One panel: title, whether the axis is logarithmic, whether it is in percent, and (key, label).
_RUN_PANELS = (
    (
        "Loss",
        True,
        False,
        (
            ("train/loss", "train"),
            ("eval/loss", "evaluation"),
            ("eval_ema/loss", "evaluation, moving average"),
        ),
    ),
    (
        "Error (%)",
        False,
        True,
        (
            ("train/error_rate", "train"),
            ("eval/error_rate", "evaluation"),
            ("eval_ema/error_rate", "evaluation, moving average"),
        ),
    ),
    ("Learning rate", False, False, (("train/learning_rate", "learning rate"),)),
    (
        "Gradient norm",
        True,
        False,
        (
            ("train/gradient_norm_clean", "‖g₁‖ at θ"),
            ("train/gradient_norm_perturbed", "‖g₂‖ at θ + r·v"),
            ("train/gradient_norm", "applied"),
        ),
    ),
    ("Sharpness  L(θ + r·v) − L(θ)", False, False, (("train/sharpness", "sharpness"),)),
    ("Cosine of g₁ and g₂", False, False, (("train/gradient_cosine", "cosine"),)),
)
_COMPARISON_PANELS = (
    ("Training loss", True, False, "train/loss"),
    ("Evaluation loss", True, False, "eval/loss"),
    ("Evaluation error (%)", False, True, "eval/error_rate"),
    ("Gradient norm ‖g₁‖", True, False, "train/gradient_norm_clean"),
    ("Sharpness  L(θ + r·v) − L(θ)", False, False, "train/sharpness"),
    ("Learning rate", False, False, "train/learning_rate"),
)

# Colours that stay apart in print and for colour-blind eyes (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
_MARK_STYLES = (":", "--")

# Characters of a legend's line that a panel's width has room for.
_LEGEND_WIDTH = 64

# A curve with more points than this is noise from step to step: its running mean is drawn over it.
_FEW_POINTS = 200


def draw_curves(
    metrics: Sequence[Mapping[str, float]],
    out_path: str | os.PathLike,
    marks: Mapping[str, int | None] | None = None,
) -> None:
    """Draws one run: loss, error, learning rate, gradient norms and sharpness over its steps.

    Args:
      metrics: the lines of its `metrics.jsonl`, from `read_metrics`. What a run does not measure
        has no panel.
      out_path: the PNG to write.
      marks: steps to mark where evaluations are shown, by the name that the legend gives them.
    """
    marks = {name: step for name, step in (marks or {}).items() if step}
    panels = [panel for panel in _RUN_PANELS if any(_has(metrics, key) for key, _ in panel[3])]

    def draw(axes, panel):
        *_, percent, curves = panel
        for colour, (key, label) in zip(_COLOURS, curves, strict=False):
            _draw_curve(axes, metrics, key, percent, colour, label)

    def annotate(axes, panel):
        *_, curves = panel
        if any(key.startswith("eval") for key, _ in curves):
            _draw_marks(axes, marks)
        if len(curves) > 1:
            axes.legend(facecolor="white", edgecolor="none", framealpha=0.8, fontsize=8)

    _draw_figure(panels, draw, out_path, annotate)


def draw_comparison(
    groups: Mapping[str, Sequence[Sequence[Mapping[str, float]]]], out_path: str | os.PathLike
) -> None:
    """Draws groups of runs over each other, each group in its colour, and names them below.

    Args:
      groups: for each name the metrics of its runs, such as the seeds of one config.
      out_path: the PNG to write.
    """
    runs = [run for group in groups.values() for run in group]
    panels = [p for p in _COMPARISON_PANELS if any(_has(run, p[3]) for run in runs)]

    def draw(axes, panel):
        *_, percent, key = panel
        for colour, group in zip(itertools.cycle(_COLOURS), groups.values(), strict=False):
            for run in group:
                _draw_curve(axes, run, key, percent, colour)

    _draw_figure(panels, draw, out_path, names=list(groups))


def _draw_marks(axes, marks):
    for style, (name, step) in zip(_MARK_STYLES, marks.items(), strict=False):
        label = f"{name}: step {step}"
        axes.axvline(step, color="#444444", linestyle=style, linewidth=1, zorder=0, label=label)


def _draw_figure(panels, draw, out_path, annotate=lambda axes, panel: None, names=()):
    from matplotlib.figure import Figure  # imported late: it takes a second
    from matplotlib.patches import Patch

    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    names = [textwrap.fill(name, _LEGEND_WIDTH) for name in names]
    legend_lines = sum(name.count("\n") + 1 for name in names) / columns
    size = (4.6 * columns, 3.2 * rows + 0.16 * legend_lines)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    for number, panel in enumerate(panels):
        title, logarithmic, *_ = panel
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        draw(axes, panel)
        if logarithmic and any(y > 0 for line in axes.lines for y in line.get_ydata()):
            axes.set_yscale("log", nonpositive="mask")
        annotate(axes, panel)
    if names:
        swatches = [
            Patch(color=colour, label=name)
            for colour, name in zip(itertools.cycle(_COLOURS), names, strict=False)
        ]
        place = {"loc": "outside lower left", "ncols": columns}
        figure.legend(handles=swatches, frameon=False, fontsize=8, **place)
    figure.savefig(out_path)


def _has(metrics, key):
    return any(key in line for line in metrics)


def _draw_curve(axes, metrics, key, percent, colour, label=None):
    points = [(line["step"], line[key]) for line in metrics if key in line]
    if not points:
        return
    steps, values = zip(*points, strict=True)
    values = [100 * value if percent else value for value in values]
    if len(points) <= _FEW_POINTS or not _is_noisy(values):
        marker = "o" if len(points) == 1 else None  # a line of one point would not be seen
        axes.plot(steps, values, color=colour, linewidth=1.4, marker=marker, label=label)
        return
    axes.plot(steps, values, color=colour, linewidth=0.5, alpha=0.2)
    window = len(points) // 50
    axes.plot(steps, _running_mean(values, window), color=colour, linewidth=1.4, label=label)


def _is_noisy(values):
    """Whether the curve turns back at more than a tenth of its points; a schedule does not."""
    differences = [b - a for a, b in itertools.pairwise(values)]
    turns = sum(a * b < 0 for a, b in itertools.pairwise(differences))
    return turns > len(values) / 10


def _running_mean(values, window):
    """The mean of the last `window` finite values at each point."""
    means, recent = [], []
    for value in values:
        recent = [*recent, value][-window:]
        finite = [v for v in recent if math.isfinite(v)]
        means.append(sum(finite) / len(finite) if finite else math.nan)
    return means
