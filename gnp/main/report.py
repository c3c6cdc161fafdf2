"""Compares runs: a table of their test errors, a picture of their curves, and a page of it all.

python -m gnp.main.report --runs='runs/**' --out=DIR
python -m gnp.main.report --runs=runs --serve [--port=8000]

The second shows the page on this machine and keeps it up to date while runs go on.
"""

import pathlib
import sys
from collections.abc import Iterable

from absl import flags

from gnp.errors import UserError
from gnp.files import make_folder, write_atomically
from gnp.main import app
from gnp.main.live_report import serve
from gnp.report.comparison import format_differences, format_table, group_runs
from gnp.report.curves import draw_comparison
from gnp.report.html_report import html_report
from gnp.runs.find import find_runs, is_finished, read_run
from gnp.runs.folder import CONFIG_FILE, CURVES_FILE, SUMMARY_FILE

REPORT_FILE = "report.html"


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_multi_string(
        "runs", [], "A run's folder, or one above it; may hold * and **; may be given repeatedly."
    )
    flags.DEFINE_string("out", None, "The folder for report.html, table.md and curves.png.")
    flags.DEFINE_bool("serve", False, "Show the page on this machine, and keep it up to date.")
    flags.DEFINE_integer("port", 8000, "Where --serve shows it; 0: a free one.", 0, 65535)


def main() -> None:
    """Compares what the flags name."""
    runs, out = flags.FLAGS.runs, flags.FLAGS.out
    if not runs or not (out or flags.FLAGS.serve):
        raise UserError(
            "--runs='GLOB' is needed, and --out=DIR or --serve, such as --runs=runs --out=."
        )
    if out:
        report(runs, pathlib.Path(out))
    if flags.FLAGS.serve:
        serve(runs, flags.FLAGS.port)


def report(patterns: Iterable[str], out: pathlib.Path) -> None:
    """Prints the table of the runs below `patterns`.

    Writes it to `out` as table.md, beside curves.png and report.html.

    Raises:
      UserError: there is no finished run, or one that cannot be read; or `out` is a run's own
        folder, whose picture would be lost.
    """
    if (out / CONFIG_FILE).exists():
        raise UserError(
            f"{out} (--out) is the folder of a run, which has a {CURVES_FILE} of its own; name "
            "another."
        )
    make_folder(out, "--out")
    folders = find_runs(patterns)
    finished = list(filter(is_finished, folders))
    for folder in folders:
        if folder not in finished:
            print(f"Left out, as it is not finished: {folder}", file=sys.stderr)
    if not finished:
        raise UserError(
            f"There is no finished run below {', '.join(patterns)}; name folders that hold "
            f"{CONFIG_FILE} and {SUMMARY_FILE}."
        )
    groups = group_runs([read_run(folder) for folder in finished])
    table = "\n\n".join(filter(None, [format_table(groups), format_differences(groups)]))
    write_atomically(out / "table.md", table + "\n")
    metrics = {name: [run.metrics for run in runs] for name, runs in groups.items()}
    draw_comparison(metrics, out / CURVES_FILE)
    write_atomically(out / REPORT_FILE, html_report(groups))
    print(f"{table}\nCurves: {out / CURVES_FILE}\nPage: {out / REPORT_FILE}")


if __name__ == "__main__":
    app.run(main, define_flags)
