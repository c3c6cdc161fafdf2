"""Draws the loss around a checkpoint of a run, or between two checkpoints.

python -m gnp.main.landscape --run=RUN_FOLDER [--checkpoint=best|last|STEP] [--data=train|test]
    [--directions=1|2] [--points=25] [--extent=1] [--seed=0] [--config.FIELD=VALUE]
python -m gnp.main.landscape --run=RUN_FOLDER --to=STEP|best|last|OTHER_RUN_FOLDER

With the same arguments again, it computes only the missing points.
"""

import json
import math
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from gnp.diagnostics import landscape
from gnp.diagnostics.landscape import draw_landscape
from gnp.errors import UserError, reason
from gnp.files import read_json, write_atomically
from gnp.main import app
from gnp.main.saved import saved_run
from gnp.main.sharpness import FULL_PRECISION, open_whole_set
from gnp.model.scanned_blocks import is_stacked, stack_params, unstack_params
from gnp.regularization import tree
from gnp.runs.folder import CONFIG_FILE, LANDSCAPE_FILES
from gnp.training.monitoring.progress import Counter

_MOST_POINTS = 1000  # along each direction
_BEYOND = 0.25  # an interpolation extends beyond both ends by this share of the way


def define_flags() -> None:
    """The flags of this command."""
    saved_run.define_flags()
    saved_run.define_instrument_flags()
    flags.DEFINE_integer("directions", 2, "Random directions of the slice: 1 or 2.")
    flags.DEFINE_integer("points", 25, "Points along each direction.")
    flags.DEFINE_float("extent", 1.0, "Half the length of the slice, in filter norms.")
    flags.DEFINE_integer("seed", 0, "Seed of the directions.")
    flags.DEFINE_string("to", None, "The other end: a checkpoint of the run, or another run.")


def main() -> None:
    """Draws what the flags name."""
    values = flags.FLAGS
    folder = saved_run.folder_from_flags()
    _check(values.directions, values.points, values.extent)
    run, whole_set = open_whole_set(
        folder, saved_run.config_of(folder, *FULL_PRECISION), values.checkpoint, values.data
    )
    slice_of = {"run": str(folder), "step": run.step, "data": values.data}
    if values.to:
        other, name = _other_end(folder, values.to, values.checkpoint, run.state)
        kind, points = "to", np.linspace(-_BEYOND, 1 + _BEYOND, values.points)[:, None]
        slice_of |= {"to": name, "points": values.points}
        figures_at = _between(whole_set, run.state, other.state)
    else:
        kind = values.directions
        points = landscape.grid(values.extent, values.points, kind)
        fields = ("directions", "points", "extent", "seed")
        slice_of |= {field: values[field].value for field in fields}
        directions = random_directions(run.state.all_params, kind, values.seed)
        figures_at = _around(whole_set, run.state, directions)
    out = saved_run.out_folder(folder) / LANDSCAPE_FILES[kind]
    figures = compute(out, slice_of, points, figures_at)
    draw_landscape(figures, out.with_suffix(".png"))
    print(f"Figures: {out}\nPicture: {out.with_suffix('.png')}")


def random_directions(params: Any, count: int, seed: int) -> list[Any]:
    """Filter-normalized directions; each block of a scan has its own filters."""
    if not is_stacked(params):
        return landscape.random_directions(params, count, seed)
    unrolled = landscape.random_directions(unstack_params(params), count, seed)
    return [stack_params(direction) for direction in unrolled]


def compute(
    file: pathlib.Path,
    slice_of: dict[str, Any],
    points: np.ndarray,
    figures_at: Callable[[np.ndarray], tuple[float, float]],
) -> dict[str, Any]:
    """Loss and error rate at all points; those that a file already has are not computed again.

    Args:
      file: JSON, where points are saved as they are computed.
      slice_of: a description of the slice; a file of another slice is replaced.
      points: points x directions.
      figures_at: loss and error rate at a point.

    Returns:
      The content of the file: `of`, `points`, `loss`, `error_rate`.
    """
    done = _done(file, slice_of, len(points))
    num_done = int(np.isfinite(done[:, 0]).sum())
    if num_done:
        print(f"{file} already has {num_done} of {len(points)} points.", file=sys.stderr)

    def as_saved(figures):
        loss, error_rate = ([x if math.isfinite(x) else None for x in row] for row in figures.T)
        return {"of": slice_of, "points": points.tolist(), "loss": loss, "error_rate": error_rate}

    with Counter(len(points), "points", done=num_done) as counter:

        def counted(point):
            figures = figures_at(point)
            counter.update()
            return figures

        figures = landscape.evaluate_points(
            points,
            counted,
            done,
            lambda figures: write_atomically(file, json.dumps(as_saved(figures)) + "\n"),
        )
    return as_saved(figures)


def _done(file, slice_of, num_points):
    nothing = np.full((num_points, 2), np.nan)
    if not os.path.lexists(file):
        return nothing
    try:
        saved = read_json(file)
        done = np.array([saved["loss"], saved["error_rate"]], float).T
        if saved["of"] == slice_of and done.shape == nothing.shape:
            return done
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        print(f"Computing all points again. ({reason(error)})", file=sys.stderr)
    return nothing


def _around(whole_set, state, directions):
    def figures_at(point):
        params = landscape.moved(state.all_params, directions, point)
        return whole_set.loss_and_error(params, state.batch_stats)

    return figures_at


def _between(whole_set, first, last):
    """Batch statistics are interpolated with the parameters that they belong to."""

    def figures_at(point):
        share = np.float32(point[0])
        params = tree.mix(*map(tree.precise, (first.all_params, last.all_params)), share)
        return whole_set.loss_and_error(
            params, tree.mix(first.batch_stats, last.batch_stats, share)
        )

    return figures_at


def _other_end(folder, to, checkpoint, like):
    """The run at the other end, and its name; `like` is the state at the first end."""
    if (pathlib.Path(to) / CONFIG_FILE).exists():
        folder = pathlib.Path(to).absolute()
    else:
        checkpoint = to
    run = saved_run.load_run(folder, saved_run.config_of(folder, *FULL_PRECISION), checkpoint)
    shapes, other_shapes = (
        jax.tree.map(lambda x: x.shape, state.all_params) for state in (like, run.state)
    )
    if shapes != other_shapes:
        raise UserError(
            f"{folder} (--to) has another model, so there is no line to it; name a run whose model "
            "has the same parameters."
        )
    return run, f"{folder} {run.step}"


def _check(directions, points, extent):
    if directions not in (1, 2):
        raise UserError(f"--directions is {directions}; choose 1 or 2.")
    if not 2 <= points <= _MOST_POINTS:
        raise UserError(f"--points is {points}; it must be in 2 to {_MOST_POINTS}.")
    if not extent > 0:
        raise UserError(f"--extent is {extent}; it must be above 0.")


if __name__ == "__main__":
    app.run(main, define_flags)
