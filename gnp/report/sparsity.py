"""A table and a picture of the zeros that a run ended with."""

import os
import pathlib
from collections.abc import Mapping, Sequence

SPARSITY_TABLE = "sparsity.md"

_PREFIX = "sparsity/"
_ELEMENTS = "elements"
_ALL = "all"

# Colours that stay apart in print and for colour-blind eyes (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def sparsity_table(metrics: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """For each parameter the share of zeros among its elements, and its groups of each kind.

    Args:
      metrics: the lines of a `metrics.jsonl`, the last of which that tells of sparsity counts.

    Returns:
      `{path: {"elements": share, "filters": share, ...}}`, the whole as `all` at the end; empty if
      no line tells of sparsity.
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
    """Writes `sparsity.md` and `sparsity.png`, if there is something to tell.

    Args:
      metrics: the lines of the run's `metrics.jsonl`.
      folder: the run's.
    """
    table = sparsity_table(metrics)
    if not table:
        return
    folder = pathlib.Path(folder)
    (folder / SPARSITY_TABLE).write_text(_as_markdown(table))
    _draw(table, folder / "sparsity.png")


def _kinds(table):
    return list(dict.fromkeys(kind for shares in table.values() for kind in shares))


def _as_markdown(table):
    kinds = _kinds(table)
    rows = [["parameter", *(f"zero {kind} (%)" for kind in kinds)]]
    rows.append(["---"] * len(rows[0]))
    for path, shares in table.items():
        rows.append([path, *(f"{100 * shares[k]:.1f}" if k in shares else "" for k in kinds)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _draw(table, out_path):
    from matplotlib.figure import Figure  # imported late: it takes a second

    kinds = _kinds(table)
    height = 0.8 / len(kinds)
    inches = 1.0 + len(table) * max(0.22, 0.14 * len(kinds))
    figure = Figure(figsize=(8, inches), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for number, (kind, colour) in enumerate(zip(kinds, _COLOURS * len(kinds), strict=False)):
        rows = [row for row, shares in enumerate(table.values()) if kind in shares]
        values = [100 * shares[kind] for shares in table.values() if kind in shares]
        offset = (number - (len(kinds) - 1) / 2) * height
        bars = axes.barh([row + offset for row in rows], values, height, color=colour, label=kind)
        axes.bar_label(bars, fmt="%.0f", fontsize=6, padding=2)
    axes.set_yticks(range(len(table)), table, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 106)
    axes.set_xlabel("zeros (%)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper right", ncols=len(kinds), frameon=False, fontsize=8)
    figure.savefig(out_path)
