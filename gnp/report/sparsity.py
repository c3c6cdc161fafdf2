"""A table and a picture of the zeros in the parameters at the end of a run."""

import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence

from gnp.files import write_atomically
from gnp.report.style import SERIES, SMALL, new_figure, plain, save_figure, tidy
from gnp.report.table import aligned

SPARSITY_TABLE = "sparsity.md"

_PREFIX = "sparsity/"
_ELEMENTS = "elements"
_ALL = "all"


def sparsity_table(metrics: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """For each parameter the share of zeros among its elements, and its groups of each kind.

    Args:
      metrics: the lines of a `metrics.jsonl`; the last one with sparsity counts.

    Returns:
      `{path: {"elements": share, "filters": share, ...}}`, the whole as `all` at the end; empty if
      no line has sparsity.
    """
    lines = [line for line in metrics if _PREFIX + _ALL in line]
    shares = {
        name.removeprefix(_PREFIX): share
        for name, share in (lines[-1] if lines else {}).items()
        if name.startswith(_PREFIX)
    }
    table = {}
    for name, share in shares.items():
        path, _, kind = name.rpartition("/")
        if path in shares:
            table[path][kind] = share
        else:
            table[name] = {_ELEMENTS: share}
    if _ALL in table:
        table[_ALL] = table.pop(_ALL)
    return table


def write_sparsity(metrics: Sequence[Mapping[str, float]], folder: str | os.PathLike) -> None:
    """Writes `sparsity.md` and `sparsity.png`; nothing if the metrics have no sparsity.

    Args:
      metrics: the lines of the run's `metrics.jsonl`.
      folder: of the run.
    """
    table = sparsity_table(metrics)
    if not table:
        return
    folder = pathlib.Path(folder)
    write_atomically(folder / SPARSITY_TABLE, _as_markdown(table))
    _draw(table, folder / "sparsity.png")


def _kinds(table):
    return list(dict.fromkeys(kind for shares in table.values() for kind in shares))


def _as_markdown(table):
    kinds = _kinds(table)
    rows = [
        [path, *(f"{100 * shares[kind]:.1f}" if kind in shares else "" for kind in kinds)]
        for path, shares in table.items()
    ]
    return aligned(["parameter", *(f"zero {kind} (%)" for kind in kinds)], rows) + "\n"


def _draw(table, out_path):
    kinds = _kinds(table)
    height = 0.8 / len(kinds)
    inches = 1.0 + len(table) * max(0.22, 0.14 * len(kinds))
    figure = new_figure(8, inches)
    axes = figure.add_subplot()
    tidy(axes, "", "zeros (%)")
    axes.grid(visible=False, axis="y")
    for number, (kind, colour) in enumerate(zip(kinds, itertools.cycle(SERIES), strict=False)):
        rows = [row for row, shares in enumerate(table.values()) if kind in shares]
        values = [100 * shares[kind] for shares in table.values() if kind in shares]
        offset = (number - (len(kinds) - 1) / 2) * height
        bars = axes.barh([row + offset for row in rows], values, height, color=colour, label=kind)
        axes.bar_label(bars, fmt="%.0f", fontsize=6, padding=2)
    axes.set_yticks(range(len(table)), map(plain, table), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 106)
    place = {"loc": "outside upper right", "ncols": len(kinds), "frameon": False}
    figure.legend(fontsize=SMALL, **place)
    save_figure(figure, out_path)
