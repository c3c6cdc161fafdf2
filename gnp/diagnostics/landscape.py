"""Slices through a loss landscape: their directions, points, figures and picture."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from gnp.regularization import tree
from gnp.report.style import BLUE, GRAY, RED, TITLE, new_figure, save_figure, tidy

PyTree = Any

_NOT_IN_FILTERS = ("bias", "scale")
# Contour lines of a picture.
_LEVELS = 18


def filter_normalized(direction: PyTree, params: PyTree) -> PyTree:
    r"""A direction whose filters have the same norms as the filters of the parameters.

    Each filter of the direction becomes :math:`d \, \|w\| / \|d\|`, with w that of the parameters.
    A filter holds the weights of one output of a layer. It spans all axes of a kernel but the last
    one, or the last ones where the layer's bias has several axes, as for the heads of queries.
    Biases and the parameters of norms do not move (arXiv 1712.09913, section 4). A batch norm
    cancels the scale of the layer before it; with such directions the scale does not make a
    landscape look flatter.

    >>> params = {"dense": {"kernel": jnp.array([[3.0], [4.0]]), "bias": jnp.ones(1)}}
    >>> direction = jax.tree.map(jnp.ones_like, params)
    >>> moved = filter_normalized(direction, params)["dense"]
    >>> print(f"{jnp.linalg.norm(moved['kernel']):.2f}", moved["bias"])
    5.00 [0.]

    Args:
      direction: a tree like the parameters.
      params: a dictionary of a Flax module's parameters, not stacked for a scan.
    """
    directions, weights = map(traverse_util.flatten_dict, (direction, params))

    def normalized(path):
        d, w = directions[path], weights[path]
        if w.ndim <= 1 or path[-1] in _NOT_IN_FILTERS:
            return jnp.zeros_like(w)
        bias = weights.get((*path[:-1], "bias"))
        num_outputs = 1 if bias is None else bias.ndim
        axes = tuple(range(w.ndim - num_outputs))
        lengths = [jnp.sqrt(jnp.sum(jnp.square(x), axes, keepdims=True)) for x in (w, d)]
        return d * tree.divide(*lengths)

    return traverse_util.unflatten_dict({path: normalized(path) for path in weights})


def random_directions(params: PyTree, count: int, seed: int) -> list[PyTree]:
    """Filter-normalized Gaussian directions."""
    key = jax.random.PRNGKey(seed)
    samples = [tree.normal_like(jax.random.fold_in(key, number), params) for number in range(count)]
    return [filter_normalized(direction, params) for direction in samples]


def grid(extent: float, num_points: int, num_directions: int) -> np.ndarray:
    """Points of a slice in units of its directions, row by row.

    Args:
      extent: largest distance from zero, on each side.
      num_points: along each direction; if it is odd, zero is one of them.
      num_directions: 1 or 2.

    Returns:
      points x directions.
    """
    axis = np.linspace(-extent, extent, num_points)
    return np.stack(np.meshgrid(*[axis] * num_directions, indexing="ij"), -1).reshape(
        -1, num_directions
    )


def moved(params: PyTree, directions: list[PyTree], point: np.ndarray) -> PyTree:
    """The parameters at a point of a slice, in float32 or finer."""
    params = tree.precise(params)
    for direction, distance in zip(directions, point, strict=True):
        params = tree.add(params, direction, np.float32(distance))
    return params


def evaluate_points(
    points: np.ndarray,
    figures_at: Callable[[np.ndarray], tuple[float, float]],
    done: np.ndarray,
    save: Callable[[np.ndarray], None],
    *,
    save_every: int = 20,
) -> np.ndarray:
    """Loss and error rate at the points that are missing.

    Args:
      points: points x directions.
      figures_at: loss and error rate at a point.
      done: points x 2, the known figures; nan where a point is missing.
      save: called with the figures regularly, and at the end even after an exception.
      save_every: points between two calls of `save`.

    Returns:
      points x 2: loss and error rate.
    """
    figures = done.copy()
    missing = np.flatnonzero(np.isnan(figures[:, 0]))
    try:
        for count, index in enumerate(missing, 1):
            figures[index] = figures_at(points[index])
            if count % save_every == 0:
                save(figures)
    finally:
        save(figures)
    return figures


def draw_landscape(figures: dict[str, Any], out_path: str | os.PathLike) -> None:
    """Draws a slice: curves along a line; contours and a surface over a plane.

    Args:
      figures: `of` (a description of the slice), `points` (points x directions), `loss`,
        `error_rate`.
      out_path: the PNG to write.
    """
    points, loss = np.array(figures["points"]), np.array(figures["loss"], float)
    in_plane = points.shape[1] == 2
    figure = new_figure(9.6 if in_plane else 6.0, 4.2)
    figure.suptitle(_title(figures["of"]), fontsize=TITLE, x=0.01, ha="left")
    if in_plane:
        _draw_plane(figure, points, loss)
    else:
        _draw_line(figure, points[:, 0], loss, figures)
    save_figure(figure, out_path)


def _title(of):
    where = f"Cross entropy on the {of['data']} images, step {of['step']}"
    if "to" in of:
        return f"{where} (0) to another checkpoint (1)"
    return f"{where}\nalong filter-normalized random directions (seed {of['seed']})"


def _draw_line(figure, distances, loss, figures):
    is_interpolation = "to" in figures["of"]
    axes = figure.add_subplot()
    tidy(axes, "", "share of the way" if is_interpolation else "distance, in filter norms", "loss")
    axes.plot(distances, loss, color=BLUE)
    axes.yaxis.label.set_color(BLUE)
    finite = loss[np.isfinite(loss)]
    if len(finite) and finite.max() > 20 * finite.min() > 0:
        axes.set_yscale("log")
    for end in (0, 1) if is_interpolation else (0,):
        axes.axvline(end, color=GRAY, linewidth=0.8, linestyle=":")
    errors = axes.twinx()
    tidy(errors, "", "", "error (%)")
    errors.grid(visible=False)
    errors.spines["right"].set_visible(True)
    errors.plot(distances, 100 * np.array(figures["error_rate"], float), "--", color=RED)
    errors.yaxis.label.set_color(RED)
    errors.set_ylim(bottom=0)


def _draw_plane(figure, points, loss):
    side = round(len(points) ** 0.5)
    x, y = (points[:, axis].reshape(side, side) for axis in (0, 1))
    # The loss far from the minimum is many times larger; its logarithm shows both scales.
    height = np.log10(np.maximum(loss, 1e-8)).reshape(side, side)
    axes = figure.add_subplot(1, 2, 1)
    filled = axes.contourf(x, y, height, levels=_LEVELS, cmap="viridis")
    axes.contour(x, y, height, levels=_LEVELS, colors="white", linewidths=0.4, linestyles="-")
    axes.plot(0, 0, "+", color=RED, markersize=10)
    axes.set(xlabel="first direction", ylabel="second direction", aspect="equal")
    axes.locator_params(nbins=5)
    figure.colorbar(filled, ax=axes, label="log₁₀ of the loss", shrink=0.85)
    surface = figure.add_subplot(1, 2, 2, projection="3d")
    surface.plot_surface(x, y, height, cmap="viridis", linewidth=0, rcount=side, ccount=side)
    surface.set(xlabel="first direction", ylabel="second direction")
    surface.locator_params(nbins=5)
    surface.view_init(elev=32, azim=-55)
