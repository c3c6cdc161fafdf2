"""A page about runs side by side that needs nothing but itself: no network, no other file."""

import base64
import html
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gnp.report.comparison import Run, differences
from gnp.report.html_style import COLOURS, STYLE
from gnp.report.svg_chart import Curve, line_chart

# Heading, what the vertical axis shows, whether it is logarithmic, its factor, and the metric.
_CHARTS = (
    ("Training loss", "cross entropy (nats)", True, 1, "train/loss"),
    ("Evaluation loss", "cross entropy (nats)", True, 1, "eval/loss"),
    ("Training error", "error (%)", False, 100, "train/error_rate"),
    ("Evaluation error", "error (%)", False, 100, "eval/error_rate"),
    ("Gradient norm at the parameters", "‖g₁‖", True, 1, "train/gradient_norm_clean"),
    ("Gradient norm at the perturbed parameters", "‖g₂‖", True, 1, "train/gradient_norm_perturbed"),
    ("Rise of the loss along the gradient", "L(θ + r·v) − L(θ)", False, 1, "train/sharpness"),
    ("Norm of the parameters", "‖θ‖", False, 1, "train/parameter_norm"),
    ("Learning rate", "learning rate", False, 1, "train/learning_rate"),
    ("Zero parameters", "share (%)", False, 100, "sparsity/all"),
)

# Heading and the figure of sharpness.json, or of its list of eigenvalues.
_SHARPNESS = (
    ("largest eigenvalue", lambda s: s["eigenvalues"][0]),
    ("trace", lambda s: s["trace"]),
    ("worst-case rise", lambda s: s["worst_case_rise"]),
    ("mean rise", lambda s: s["mean_rise"]),
    ("gradient norm", lambda s: s["gradient_norm"]),
    ("loss", lambda s: s["loss"]),
)

# Points of a curve; more steps than that are averaged in as many bins.
_NUM_POINTS = 150


def html_report(groups: Mapping[str, Sequence[Run]]) -> str:
    """The page.

    Args:
      groups: runs that differ in their seeds alone, by name; the first group is the baseline.
    """
    runs = [run for group in groups.values() for run in group]
    sections = [
        ("Errors", _errors(groups)),
        ("What differs", _differences(groups)),
        ("Curves", _curves(groups)),
        ("Sharpness of the minima", _sharpness(groups)),
        ("Flow of the gradient", _diagnoses(groups)),
        ("Sparsity", _sparsity(groups)),
        ("Pictures", _pictures(groups)),
    ]
    title = f"{len(runs)} runs of {_text(_common(runs, 'model.model_name'))} on " + _text(
        _common(runs, "dataset.dataset_name")
    )
    body = "".join(f"<section><h2>{name}</h2>{part}</section>" for name, part in sections if part)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body><h1>{title}</h1>{_legend(groups)}{body}</body></html>\n"
    )


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


def _legend(groups):
    entries = "".join(
        f'<li><span class="swatch series{number % len(COLOURS)}"></span>{_text(name)}</li>'
        for number, name in enumerate(groups)
    )
    return f'<ul class="legend">{entries}</ul>'


def _errors(groups):
    rows, baseline = [], None
    for name, runs in groups.items():
        final = [100 * run.summary["final"]["eval/error_rate"] for run in runs]
        best = [100 * run.summary["best"]["eval/error_rate"] for run in runs]
        speeds = [run.summary["images_per_second"] or 0 for run in runs]
        gain = "baseline" if baseline is None else _gain(baseline, final)
        baseline = final if baseline is None else baseline
        speed = f"{statistics.mean(speeds):,.0f}"
        rows.append([name, len(runs), _spread(final), _spread(best), gain, speed])
    head = ["run", "seeds", "final error (%)", "best error (%)", "gain (points)", "images/s"]
    return _table(head, rows) + (
        "<p>Mean ± sample standard deviation over the seeds. The gain is by how many points the "
        "final error is below the baseline's.</p>"
    )


def _gain(baseline, final):
    """With the standard error of the difference, where there are seeds enough."""
    gain = statistics.mean(baseline) - statistics.mean(final)
    if len(baseline) < 2 or len(final) < 2:
        return f"{gain:+.2f}"
    error = math.sqrt(sum(statistics.variance(v) / len(v) for v in (baseline, final)))
    return f"{gain:+.2f} ± {error:.2f}"


def _differences(groups):
    rows = differences(groups)
    return _table(["field", *groups], rows) if rows else ""


def _curves(groups):
    last = max(
        (line["step"] for runs in groups.values() for run in runs for line in run.metrics),
        default=1,
    )
    figures = []
    for heading, label, logarithmic, factor, key in _CHARTS:
        curves = list(_group_curves(groups, key, factor, max(1, last / _NUM_POINTS)))
        if not any(y > 0 or (y == 0 and not logarithmic) for c in curves for y in c.mean):
            continue
        chart = line_chart(curves, x_label="step", y_label=label, logarithmic=logarithmic)
        figures.append(f"<figure><figcaption>{heading}</figcaption>{chart}</figure>")
    return (
        f'<div class="charts">{"".join(figures)}</div><p>Lines are means over the seeds, bands '
        "one sample standard deviation to each side.</p>"
        if figures
        else ""
    )


def _group_curves(groups, key, factor, width) -> Iterator[Curve]:
    for number, (name, runs) in enumerate(groups.items()):
        curves = [curve for run in runs if (curve := binned(run.metrics, key, width))]
        if curves:
            yield mean_curve(name, number % len(COLOURS), curves, factor)


def _sharpness(groups):
    measured = {
        name: [run.instruments["sharpness"] for run in runs if "sharpness" in run.instruments]
        for name, runs in groups.items()
    }
    measured = {name: found for name, found in measured.items() if found}
    if not measured:
        return ""
    rows = [
        [name, len(found), *(_spread([of(s) for s in found], 3) for _, of in _SHARPNESS)]
        for name, found in measured.items()
    ]
    kinds = {_measured_with(s) for found in measured.values() for s in found}
    table = _table(["run", "seeds", *(heading for heading, _ in _SHARPNESS)], rows)
    return f"{table}<p>Measured on {_text('; '.join(sorted(kinds)))}.</p>"


def _measured_with(sharpness):
    settings = sharpness["settings"]
    return (
        f"{sharpness['num_images']} {sharpness['data']} images, worst case with r = "
        f"{settings['r']} over groups of {settings['m']}, mean with sigma = {settings['sigma']}"
    )


def _diagnoses(groups):
    rows = [
        [name, found["step"], f"{chain['gain']:.3g}", f"{chain['product']:.3g}", chain["verdict"]]
        for name, runs in groups.items()
        for run in runs
        if (found := run.instruments.get("diagnose")) and (chain := found["chain"])
    ]
    head = ["run", "step", "growth of a gradient", "product of spectral norms", "verdict"]
    return _table(head, rows) if rows else ""


def _sparsity(groups):
    return "".join(
        f"<h3>{_text(name)}, seeds {_seeds(run)}</h3>"
        f"<pre>{_text(run.instruments['sparsity'])}</pre>"
        for name, runs in groups.items()
        for run in runs
        if "sparsity" in run.instruments
    )


def _pictures(groups):
    figures = [
        f"<figure><figcaption>{_text(title)}: {_text(name)}, seeds {_seeds(run)}</figcaption>"
        f'<img alt="{_text(title)}" src="data:image/png;base64,'
        f'{base64.b64encode(picture).decode()}"></figure>'
        for name, runs in groups.items()
        for run in runs
        for title, picture in run.instruments.get("pictures", {}).items()
    ]
    return f'<div class="pictures">{"".join(figures)}</div>' if figures else ""


def _seeds(run):
    return f"{run.config.get('init_seeds', 0)} and {run.config.get('seeds', 0)}"


def _common(runs, field):
    return ", ".join(sorted({str(run.config.get(field, "?")) for run in runs}))


def _spread(values, digits=None):
    number = (lambda x: f"{x:.{digits}g}") if digits else (lambda x: f"{x:.2f}")
    mean = number(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ± {number(statistics.stdev(values))}"


def _table(head, rows):
    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return (
        f'<div class="scroll"><table><thead>{line(head, "th")}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))
