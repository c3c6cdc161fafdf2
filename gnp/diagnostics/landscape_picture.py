"""Pictures of slices through a loss landscape."""

import os
from typing import Any

import numpy as np

_LEVELS = 18


def draw_landscape(figures: dict[str, Any], out_path: str | os.PathLike) -> None:
    """Draws a slice: curves along a line; contours and a surface over a plane.

    Args:
      figures: `of` (what it is of), `points` (points x directions), `loss`, `error_rate`.
      out_path: the PNG to write.
    """
    from matplotlib.figure import Figure  # imported late: it takes a second

    points, loss = np.array(figures["points"]), np.array(figures["loss"], float)
    in_plane = points.shape[1] == 2
    figure = Figure(figsize=(9.6 if in_plane else 6.0, 4.2), dpi=110, layout="constrained")
    figure.suptitle(_title(figures["of"]), fontsize=10, x=0.01, ha="left")
    if in_plane:
        _draw_plane(figure, points, loss)
    else:
        _draw_line(figure, points[:, 0], loss, figures)
    figure.savefig(out_path)


def _title(of):
    where = f"Cross entropy on the {of['data']} images, step {of['step']}"
    if "to" in of:
        return f"{where} (0) to another checkpoint (1)"
    return f"{where}\nalong filter-normalized random directions (seed {of['seed']})"


def _draw_line(figure, distances, loss, figures):
    axes = figure.add_subplot()
    axes.plot(distances, loss, color="#0072B2")
    axes.set_ylabel("loss", color="#0072B2")
    is_way = "to" in figures["of"]
    axes.set_xlabel("share of the way" if is_way else "distance, in filter norms")
    axes.spines["top"].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    if np.nanmax(loss) > 20 * np.nanmin(loss) > 0:
        axes.set_yscale("log")
    for end in (0, 1) if is_way else (0,):
        axes.axvline(end, color="#444444", linewidth=0.8, linestyle=":")
    errors = axes.twinx()
    errors.plot(distances, 100 * np.array(figures["error_rate"], float), "--", color="#D55E00")
    errors.set_ylabel("error (%)", color="#D55E00")
    errors.set_ylim(bottom=0)
    errors.spines["top"].set_visible(False)


def _draw_plane(figure, points, loss):
    side = round(len(points) ** 0.5)
    x, y = (points[:, axis].reshape(side, side) for axis in (0, 1))
    # Far from the minimum the loss is many times larger; its logarithm shows both.
    height = np.log10(np.maximum(loss, 1e-8)).reshape(side, side)
    axes = figure.add_subplot(1, 2, 1)
    filled = axes.contourf(x, y, height, levels=_LEVELS, cmap="viridis")
    axes.contour(x, y, height, levels=_LEVELS, colors="white", linewidths=0.4, linestyles="-")
    axes.plot(0, 0, "+", color="#D55E00", markersize=10)
    axes.set(xlabel="first direction", ylabel="second direction", aspect="equal")
    axes.locator_params(nbins=5)
    figure.colorbar(filled, ax=axes, label="log₁₀ of the loss", shrink=0.85)
    surface = figure.add_subplot(1, 2, 2, projection="3d")
    surface.plot_surface(x, y, height, cmap="viridis", linewidth=0, rcount=side, ccount=side)
    surface.set(xlabel="first direction", ylabel="second direction")
    surface.locator_params(nbins=5)
    surface.view_init(elev=32, azim=-55)
