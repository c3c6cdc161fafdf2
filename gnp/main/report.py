"""Compares runs: a table of their test errors, a picture of their curves, and a page of it all.

python -m gnp.main.report --runs='runs/**' --out=DIR
"""

import glob
import json
import pathlib
import sys
from collections.abc import Iterable

from absl import flags

from gnp.diagnostics.curves import draw_comparison
from gnp.diagnostics.html_report import html_report
from gnp.diagnostics.report import Run, format_table, group_runs
from gnp.diagnostics.sparsity import SPARSITY_TABLE
from gnp.errors import UserError
from gnp.main import app
from gnp.main.diagnose import DIAGNOSE_FILE, DIAGNOSE_PICTURE
from gnp.main.landscape import LANDSCAPE_FILES
from gnp.main.saved_run import DIAGNOSTICS_FOLDER
from gnp.main.sharpness import SHARPNESS_FILE, SPECTRUM_PICTURE
from gnp.training.metrics_writer import METRICS_FILE, read_metrics
from gnp.training.run_folder import CONFIG_FILE, flatten, write_atomically
from gnp.training.summary import SUMMARY_FILE

REPORT_FILE = "report.html"

_PICTURES = {
    "Spectrum of the Hessian": SPECTRUM_PICTURE,
    "Loss along a line": pathlib.Path(LANDSCAPE_FILES[1]).with_suffix(".png"),
    "Loss over a plane": pathlib.Path(LANDSCAPE_FILES[2]).with_suffix(".png"),
    "Loss between two checkpoints": pathlib.Path(LANDSCAPE_FILES["to"]).with_suffix(".png"),
    "Layers": DIAGNOSE_PICTURE,
}


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_multi_string(
        "runs", [], "A run's folder, or one above it; may hold * and **; may be given repeatedly."
    )
    flags.DEFINE_string("out", None, "The folder for report.html, table.md and curves.png.")


def main() -> None:
    """Compares what the flags name."""
    runs, out = flags.FLAGS.runs, flags.FLAGS.out
    if not runs or not out:
        raise UserError("--runs='GLOB' and --out=DIR are both needed, such as --runs=runs --out=.")
    report(runs, pathlib.Path(out))


def report(patterns: Iterable[str], out: pathlib.Path) -> None:
    """Prints the table of the runs below `patterns`.

    Writes it to `out` as table.md, beside curves.png and report.html.

    Raises:
      UserError: there is no finished run.
    """
    folders = _run_folders(patterns)
    finished = [folder for folder in folders if (folder / SUMMARY_FILE).exists()]
    for folder in folders:
        if folder not in finished:
            print(f"Left out, as it is not finished: {folder}", file=sys.stderr)
    if not finished:
        raise UserError(
            f"There is no finished run below {', '.join(patterns)}; name folders that hold "
            f"{CONFIG_FILE} and {SUMMARY_FILE}."
        )
    groups = group_runs([_read_run(folder) for folder in finished])
    table = format_table(groups)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "table.md", table + "\n")
    metrics = {name: [run.metrics for run in runs] for name, runs in groups.items()}
    draw_comparison(metrics, out / "curves.png")
    write_atomically(out / REPORT_FILE, html_report(groups))
    print(f"{table}\nCurves: {out / 'curves.png'}\nPage: {out / REPORT_FILE}")


def _run_folders(patterns):
    found = set()
    for pattern in patterns:
        for match in map(pathlib.Path, glob.glob(pattern, recursive=True)):
            found |= {file.parent.resolve() for file in match.rglob(CONFIG_FILE)}
    return sorted(found)


def _read_run(folder):
    return Run(
        config=flatten(json.loads((folder / CONFIG_FILE).read_text())),
        summary=json.loads((folder / SUMMARY_FILE).read_text()),
        metrics=read_metrics(folder / METRICS_FILE),
        instruments=_read_instruments(folder),
    )


def _read_instruments(folder):
    files = folder / DIAGNOSTICS_FOLDER
    found = {}
    for name, file in (("sharpness", SHARPNESS_FILE), ("diagnose", DIAGNOSE_FILE)):
        if (files / file).exists():
            found[name] = json.loads((files / file).read_text())
    if (folder / SPARSITY_TABLE).exists():
        found["sparsity"] = (folder / SPARSITY_TABLE).read_text()
    pictures = {title: files / file for title, file in _PICTURES.items()}
    found["pictures"] = {t: file.read_bytes() for t, file in pictures.items() if file.exists()}
    return found


if __name__ == "__main__":
    app.run(main, define_flags)
