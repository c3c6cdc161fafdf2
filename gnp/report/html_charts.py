"""The charts of the report page: a curve for each group, with the spread over its seeds."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gnp.report.comparison import MEMORIZED, TRUE_ERROR
from gnp.report.loss_names import evaluated_part, loss_name, trained_loss_name
from gnp.report.run_groups import Groups
from gnp.report.style import NUM_LOOKS
from gnp.report.svg_chart import Curve, line_chart


class _Chart(NamedTuple):
    """A chart of one metric.

    Attributes:
      metric: its key in metrics.jsonl.
      heading: of the chart; {part} is the images that the runs are evaluated on.
      label: of the vertical axis; or what gives it for the config of a run.
      factor: of the values.
      logarithmic: for the vertical axis, unless a value is zero or negative.
    """

    metric: str
    heading: str
    label: str | Callable[[Mapping[str, Any]], str]
    factor: float = 1
    logarithmic: bool = False


_CHARTS = (
    _Chart("eval/error_rate", "{part} error", "error (%)", 100, True),
    _Chart("eval/mean_average_precision", "Mean average precision", "precision (%)", 100),
    _Chart(MEMORIZED, "Memorized wrong labels", "share (%)", 100),
    _Chart(TRUE_ERROR, "Error of wrongly labelled images by true labels", "error (%)", 100, True),
    _Chart("train/error_rate", "Training error", "error (%)", 100, True),
    _Chart("eval/loss", "{part} loss", loss_name, logarithmic=True),
    _Chart("train/loss", "Training loss", trained_loss_name, logarithmic=True),
    _Chart(
        "train/gradient_norm_clean", "Gradient norm at the parameters", "‖g₁‖", logarithmic=True
    ),
    _Chart(
        "train/gradient_norm_perturbed",
        "Gradient norm at the perturbed parameters",
        "‖g₂‖",
        logarithmic=True,
    ),
    _Chart("train/sharpness", "Sharpness along the gradient", "L(θ + r·v) − L(θ)"),
    _Chart("train/parameter_norm", "Norm of the parameters", "‖θ‖"),
    _Chart("train/learning_rate", "Learning rate", "learning rate"),
    _Chart("sparsity/all", "Zero parameters", "share (%)", 100),
)

# Points of a curve; the steps of a longer run are averaged in as many bins.
_NUM_POINTS = 150


def charts(groups: Groups) -> str:
    """The charts of all metrics that the runs have, and what their lines and bands are."""
    last = max(
        (line["step"] for runs in groups.values() for run in runs for line in run.metrics),
        default=1,
    )
    part = evaluated_part(run.config for runs in groups.values() for run in runs).capitalize()
    figures = []
    for chart in _CHARTS:
        curves = list(_group_curves(groups, chart, max(1, last / _NUM_POINTS)))
        if not curves:
            continue
        logarithmic = chart.logarithmic and all(y > 0 for curve in curves for y in curve.mean)
        label = _label(chart, groups)
        drawn = line_chart(curves, x_label="step", y_label=label, logarithmic=logarithmic)
        heading = chart.heading.format(part=part)
        figures.append(f"<figure><figcaption>{heading}</figcaption>{drawn}</figure>")
    return (
        f'<div class="charts">{"".join(figures)}</div><p>A line is the mean over the runs of a '
        "group, a band one standard deviation to each side. A group with one run has no band. "
        "Errors, losses and gradient norms have a logarithmic axis, unless one is zero. Point at a "
        "chart to read its values.</p>"
        if figures
        else ""
    )


def _label(chart, groups):
    """The label of the vertical axis; runs with different losses share none."""
    if isinstance(chart.label, str):
        return chart.label
    labels = {chart.label(run.config) for runs in groups.values() for run in runs}
    return labels.pop() if len(labels) == 1 else "loss"


def _group_curves(groups, chart, width) -> Iterator[Curve]:
    for number, (name, runs) in enumerate(groups.items()):
        curves = [curve for run in runs if (curve := binned(run.metrics, chart.metric, width))]
        if curves:
            yield mean_curve(name, number % NUM_LOOKS, curves, chart.factor)


def binned(metrics: Sequence[Mapping[str, float]], key: str, width: float) -> dict[float, float]:
    """The mean of a metric over bins of steps, by the last step in the bin that has it.

    Args:
      metrics: the lines of a run.
      key: the metric.
      width: of a bin, in steps.
    """
    bins: dict[int, list[tuple[int, float]]] = {}
    for line in metrics:
        if key in line and math.isfinite(line[key]):
            bins.setdefault(math.ceil(line["step"] / width), []).append((line["step"], line[key]))
    return {
        points[-1][0]: statistics.mean(value for _, value in points) for points in bins.values()
    }


def mean_curve(name: str, number: int, curves: Sequence[Mapping[float, float]], factor=1) -> Curve:
    """Mean and sample standard deviation of curves over the steps that any of them has."""
    steps = sorted({step for curve in curves for step in curve})
    values = [[factor * curve[step] for curve in curves if step in curve] for step in steps]
    return Curve(
        name,
        number,
        steps,
        [statistics.mean(v) for v in values],
        [statistics.stdev(v) if len(v) > 1 else 0.0 for v in values],
    )
