"""The report as one HTML page that needs no network and no other file."""

import base64
import datetime
import html
from collections.abc import Mapping, Sequence
from typing import Any

import gnp
from gnp.errors import printable
from gnp.report.comparison import compare, notes, sharpness_settings, table, verdicts
from gnp.report.html_charts import charts
from gnp.report.html_style import STYLE
from gnp.report.run_groups import Groups, differences
from gnp.report.seeds import sample
from gnp.report.style import NUM_LOOKS

# Headings and the figures of sharpness.json.
_SHARPNESS = (
    ("worst-case sharpness", lambda s: s["worst_case_rise"]),
    ("mean sharpness", lambda s: s["mean_rise"]),
    ("top eigenvalue", lambda s: s["eigenvalues"][0]),
    ("trace", lambda s: s["trace"]),
    ("gradient norm", lambda s: s["gradient_norm"]),
    ("loss", lambda s: s["loss"]),
)


def html_report(
    groups: Groups,
    pictures: Mapping[str, bytes] | None = None,
    lists: Mapping[str, Sequence[str]] | None = None,
    refresh_seconds: int | None = None,
    command: str = "",
) -> str:
    """The page.

    Args:
      groups: runs that differ in their seeds alone, by name.
      pictures: PNG files about all groups, by title.
      lists: lines to show first, by their heading.
      refresh_seconds: after so many the page asks for itself again; None: never.
      command: what was typed to make it.
    """
    if not groups:
        return _page("No run has been evaluated yet", _lists(lists), refresh_seconds)
    runs = [run for group in groups.values() for run in group]
    sections = [
        ("Errors", _errors(groups)),
        ("What differs", _differences(groups)),
        ("Curves", charts(groups)),
        ("Sharpness of the minima", _sharpness(groups)),
        ("Flow of the gradient", _diagnoses(groups)),
        ("Sparsity", _sparsity(groups)),
        ("Pictures", _pictures(groups, pictures or {})),
        ("Runs", _runs(groups)),
    ]
    title = f"{len(runs)} runs of {_text(_common(runs, 'model.model_name'))} on " + _text(
        _common(runs, "dataset.dataset_name")
    )
    body = "".join(_section(name, part) for name, part in sections if part)
    body = f"{_lists(lists)}{_legend(groups)}{body}{_made(command)}"
    return _page(title, body, refresh_seconds)


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


def _legend(groups):
    entries = "".join(
        f'<li><svg class="swatch" viewBox="0 0 30 6"><line class="line series{number % NUM_LOOKS}" '
        f'x2="30" y1="3" y2="3"/></svg>{_text(name)}</li>'
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
    return sample(runs, lambda run: of(run.instruments["sharpness"])).text(".3g")


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


def _runs(groups):
    """Where each run lies, when and with which versions it was trained, and its command."""
    rows = []
    for name, runs in groups.items():
        for run in runs:
            summary = run.summary
            versions = ", ".join(f"{k} {v}" for k, v in summary.get("versions", {}).items())
            seeds = ", ".join(map(str, run.seeds))
            facts = [summary.get(key) or "" for key in ("ended", "steps", "seconds", "device")]
            commit = (summary.get("git_commit") or "")[:10]
            rows.append([name, seeds, *facts, summary.get("folder", ""), commit, versions])
    head = ("run", "seeds", "ended", "steps", "seconds", "device", "folder", "commit", "versions")
    return (
        f"{_table(head, rows)}<p>Seeds are those of the parameters, of training and "
        "of label noise. This trains a run again: "
        "<code>gnp train --config=FOLDER/config.json --working_dir=DIR</code></p>"
    )


def _made(command):
    """When this page was made, by which version and command."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    typed = f" by <code>{_text(command)}</code>" if command else ""
    return f"<footer>Made {now} with gnp {gnp.__version__}{typed}.</footer>"


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
