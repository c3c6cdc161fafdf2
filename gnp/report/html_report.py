"""The report as one HTML page that needs no network and no other file."""

import base64
import html
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gnp.errors import printable
from gnp.report.comparison import (
    MEMORIZED,
    TRUE_ERROR,
    compare,
    notes,
    sharpness_settings,
    table,
    verdicts,
)
from gnp.report.groups import Groups, differences
from gnp.report.html_style import STYLE
from gnp.report.seeds import sample
from gnp.report.style import SERIES
from gnp.report.svg_chart import Curve, line_chart


class _Chart(NamedTuple):
    """A chart of one metric: its heading, the label of its vertical axis, factor and scale."""

    metric: str
    heading: str
    label: str
    factor: float = 1
    logarithmic: bool = False


_CHARTS = (
    _Chart("eval/error_rate", "Test error", "error (%)", 100),
    _Chart(MEMORIZED, "Memorized wrong labels", "share (%)", 100),
    _Chart(TRUE_ERROR, "Wrongly labelled images, error against the true labels", "error (%)", 100),
    _Chart("train/error_rate", "Training error", "error (%)", 100),
    _Chart("eval/loss", "Test loss", "cross entropy (nats)", logarithmic=True),
    _Chart("train/loss", "Training loss", "cross entropy (nats)", logarithmic=True),
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

# Headings and the figures of sharpness.json.
_SHARPNESS = (
    ("worst-case sharpness", lambda s: s["worst_case_rise"]),
    ("mean sharpness", lambda s: s["mean_rise"]),
    ("top eigenvalue", lambda s: s["eigenvalues"][0]),
    ("trace", lambda s: s["trace"]),
    ("gradient norm", lambda s: s["gradient_norm"]),
    ("loss", lambda s: s["loss"]),
)

# Points of a curve; the steps of a longer run are averaged in as many bins.
_NUM_POINTS = 150


def html_report(
    groups: Groups,
    pictures: Mapping[str, bytes] | None = None,
    lists: Mapping[str, Sequence[str]] | None = None,
    refresh_seconds: int | None = None,
) -> str:
    """The page.

    Args:
      groups: runs that differ in their seeds alone, by name.
      pictures: PNG files about all groups, by title.
      lists: lines to show first, by their heading.
      refresh_seconds: after so many the page asks for itself again; None: never.
    """
    if not groups:
        return _page("No run has been evaluated yet", _lists(lists), refresh_seconds)
    runs = [run for group in groups.values() for run in group]
    sections = [
        ("Errors", _errors(groups)),
        ("What differs", _differences(groups)),
        ("Curves", _curves(groups)),
        ("Sharpness of the minima", _sharpness(groups)),
        ("Flow of the gradient", _diagnoses(groups)),
        ("Sparsity", _sparsity(groups)),
        ("Pictures", _pictures(groups, pictures or {})),
    ]
    title = f"{len(runs)} runs of {_text(_common(runs, 'model.model_name'))} on " + _text(
        _common(runs, "dataset.dataset_name")
    )
    body = "".join(_section(name, part) for name, part in sections if part)
    return _page(title, f"{_lists(lists)}{_legend(groups)}{body}", refresh_seconds)


def _page(title, body, refresh_seconds):
    refresh = f'<meta http-equiv="refresh" content="{refresh_seconds}">' if refresh_seconds else ""
    return printable(
        f'<!DOCTYPE html><html lang="en"><head>{refresh}<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body><h1>{title}</h1>{body}</body></html>\n"
    )


def _section(heading, part):
    return f"<section><h2>{heading}</h2>{part}</section>"


def _lists(lists):
    return "".join(
        _section(heading, f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>")
        for heading, lines in (lists or {}).items()
        if lines
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
        f'<li><span class="swatch series{number % len(SERIES)}"></span>{_text(name)}</li>'
        for number, name in enumerate(groups)
    )
    return f'<ul class="legend">{entries}</ul>'


def _errors(groups):
    results = compare(groups)
    lines = "".join(f"<li>{_text(line)}</li>" for line in verdicts(results))
    verdict_list = f"<ul>{lines}</ul>" if lines else ""
    return f"{_table(*table(results))}{verdict_list}<p>{_text(' '.join(notes(results)))}</p>"


def _differences(groups):
    rows = differences(groups)
    return _table(["field", *groups], rows) if rows else ""


def _curves(groups):
    last = max(
        (line["step"] for runs in groups.values() for run in runs for line in run.metrics),
        default=1,
    )
    figures = []
    for chart in _CHARTS:
        curves = list(_group_curves(groups, chart, max(1, last / _NUM_POINTS)))
        if not any(y > 0 or (y == 0 and not chart.logarithmic) for c in curves for y in c.mean):
            continue
        drawn = line_chart(
            curves, x_label="step", y_label=chart.label, logarithmic=chart.logarithmic
        )
        figures.append(f"<figure><figcaption>{chart.heading}</figcaption>{drawn}</figure>")
    return (
        f'<div class="charts">{"".join(figures)}</div><p>A line is the mean over the runs of a '
        "group, a band one standard deviation to each side. A group with one run has no band.</p>"
        if figures
        else ""
    )


def _group_curves(groups, chart, width) -> Iterator[Curve]:
    for number, (name, runs) in enumerate(groups.items()):
        curves = [curve for run in runs if (curve := binned(run.metrics, chart.metric, width))]
        if curves:
            yield mean_curve(name, number % len(SERIES), curves, chart.factor)


def _sharpness(groups):
    measured = {
        name: [run for run in runs if "sharpness" in run.instruments]
        for name, runs in groups.items()
    }
    measured = {name: runs for name, runs in measured.items() if runs}
    if not measured:
        return ""
    rows = [
        [name, len({run.seeds for run in runs}), *(_spread(runs, of) for _, of in _SHARPNESS)]
        for name, runs in measured.items()
    ]
    settings = {sharpness_settings(run) for runs in measured.values() for run in runs}
    head = ["run", "seeds", *(heading for heading, _ in _SHARPNESS)]
    return f"{_table(head, rows)}<p>Measured on {_text('; '.join(sorted(settings)))}.</p>"


def _spread(runs, of):
    """Mean ± standard deviation over the seeds of a figure of sharpness.json."""
    values = sample(runs, lambda run: of(run.instruments["sharpness"]))
    deviation = values.standard_deviation
    return f"{values.mean:.3g}" + ("" if deviation is None else f" ± {deviation:.3g}")


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
        f"<h3>{_text(name)}, {_seeds(run)}</h3><pre>{_text(run.instruments['sparsity'])}</pre>"
        for name, runs in groups.items()
        for run in runs
        if "sparsity" in run.instruments
    )


def _pictures(groups, pictures):
    titled = list(pictures.items()) + [
        (f"{title}: {name}, {_seeds(run)}", picture)
        for name, runs in groups.items()
        for run in runs
        for title, picture in run.instruments.get("pictures", {}).items()
    ]
    figures = "".join(
        f'<figure><figcaption>{_text(title)}</figcaption><img alt="{_text(title)}" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode()}"></figure>'
        for title, picture in titled
    )
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _seeds(run):
    return "seeds " + ", ".join(map(str, run.seeds[:2]))


def _common(runs, field):
    return ", ".join(sorted({str(run.config.get(field, "?")) for run in runs}))


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
