"""Compares runs: a table with verdicts, pictures, and a page with both.

python -m gnp.main.report --runs='runs/**' --out=DIR
python -m gnp.main.report --runs=runs --serve [--port=8000]

The first prints the table and writes table.md, report.json, curves.png and report.html, and
sharpness_vs_error.png if three runs have a measured sharpness. If groups differ in the radius
alone, it also has a table of errors by radius, and draws it, error_by_radius.png. Of two groups it
says last, in one sentence, what was trained, how the error changed and what that cost. The second
serves the page on this machine and updates it while runs train.
"""

import pathlib
import shlex
import sys
from collections.abc import Iterable

from absl import flags

from gnp.errors import UserError
from gnp.files import json_text, make_folder, read_bytes, write_atomically
from gnp.main import app
from gnp.main.live_report import serve
from gnp.report.comparison import as_data, compare, format_comparison, part
from gnp.report.conclusion import conclusion
from gnp.report.curves import draw_comparison
from gnp.report.html_report import html_report
from gnp.report.radius import by_radius, draw_error_by_radius, radius_table
from gnp.report.run_groups import format_differences, group_runs
from gnp.report.scatter import draw_sharpness_vs_error
from gnp.runs.find import find_runs, is_finished, read_runs
from gnp.runs.folder import CONFIG_FILE, CURVES_FILE, SUMMARY_FILE

TABLE_FILE = "table.md"
DATA_FILE = "report.json"
PAGE_FILE = "report.html"
SCATTER_FILE = "sharpness_vs_error.png"
RADIUS_FILE = "error_by_radius.png"


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_multi_string(
        "runs", [], "A run's folder, or one above it; may hold * and **; may be given repeatedly."
    )
    flags.DEFINE_string("out", None, "The folder for the table, the data, the page and pictures.")
    flags.DEFINE_bool("serve", False, "Serve the page on this machine, and keep it up to date.")
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
    """Compares the finished runs below `patterns`: prints the table and writes all files to `out`.

    A run that cannot be read is skipped; stderr and the page say why.

    Raises:
      UserError: there is no finished run that can be read; or `out` is a run's own folder, whose
        picture would be lost.
      CannotWriteError: a file cannot be written.
    """
    if (out / CONFIG_FILE).exists():
        raise UserError(
            f"{out} (--out) is the folder of a run, which has a {CURVES_FILE} of its own; name "
            "another."
        )
    make_folder(out, "--out")
    found = read_runs(_finished(patterns))
    for line in (*found.skipped, *found.incomplete):
        print(line, file=sys.stderr)
    if not found.runs:
        raise UserError(f"No finished run below {', '.join(patterns)} can be read; see above.")
    groups = group_runs(found.runs)
    results = compare(groups)
    said, radii = conclusion(results), by_radius(results)
    parts = [format_comparison(results), format_differences(groups), radii and radius_table(radii)]
    text = "\n\n".join(filter(None, parts))
    print(text, flush=True)
    write_atomically(out / TABLE_FILE, text + "\n")
    write_atomically(out / DATA_FILE, json_text(as_data(results) | {"conclusion": said}))
    drawn = _draw(groups, results, radii, out)
    command = shlex.join(["gnp", "report", *(f"--runs={p}" for p in patterns), f"--out={out}"])
    lists = {"Skipped": found.skipped, "Incomplete": found.incomplete}
    pictures = {title: read_bytes(file) for title, file in drawn.items()}
    write_atomically(out / PAGE_FILE, html_report(groups, pictures, lists, command=command))
    print(f"\nCurves: {out / CURVES_FILE}")
    for title, file in drawn.items():
        print(f"{title}: {file}")
    print(f"Page: {out / PAGE_FILE}")
    if said:
        print(f"\n{said}")


def _draw(groups, results, radii, out):
    """Draws the curves, and what else there is to draw; returns that by its title."""
    draw_comparison(groups, out / CURVES_FILE)
    scatter, curve = out / SCATTER_FILE, out / RADIUS_FILE
    for file in (scatter, curve):
        file.unlink(missing_ok=True)  # that of other runs
    drawn = {}
    if draw_sharpness_vs_error(groups, scatter):
        drawn[f"Sharpness against {part(results)} error"] = scatter
    if radii:
        draw_error_by_radius(radii, curve)
        drawn["Error by radius"] = curve
    return drawn


def _finished(patterns):
    """The folders of the finished runs; stderr names the others."""
    folders = find_runs(patterns)
    finished = list(filter(is_finished, folders))
    for folder in folders:
        if folder not in finished:
            print(f"Skipped, because it is not finished: {folder}", file=sys.stderr)
    if not finished:
        raise UserError(
            f"There is no finished run below {', '.join(patterns)}; name folders that hold "
            f"{CONFIG_FILE} and {SUMMARY_FILE}."
        )
    return finished


if __name__ == "__main__":
    app.run(main, define_flags)
