"""Initializing a model from the variables of another, perhaps with other classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import linen as nn
from flax import traverse_util

from gnp.errors import UserError
from gnp.model.scanned_blocks import is_stacked, stack_params, unstack_params
from gnp.model.weights import variable_shapes


def take_variables(
    fresh: Mapping[str, Any],
    given: Mapping[str, Any],
    head: set[str],
    origin: str,
    *,
    keeps_head: bool = True,
) -> tuple[dict[str, Any], list[str]]:
    """Replaces fresh variables by given ones.

    Blocks may be stacked (`scan_layers`) in one of the models and not in the other.

    Args:
      fresh: `params` and `batch_stats` of a new model.
      given: those of a trained model.
      head: paths of parameters that stay fresh if the given ones are missing or have another shape,
        from `head_parameters`.
      origin: source of the given variables, for the message.
      keeps_head: False: the head stays fresh whatever its shape, as its outputs mean other classes.

    Returns:
      The variables, and the paths of those that stayed fresh.

    Raises:
      UserError: the variables differ in more than the head; the message names the first one.
    """
    rearrange = stack_params if is_stacked(fresh["params"]) else unstack_params
    ours = _flat(fresh)
    theirs = _flat({**given, "params": rearrange(given["params"])})
    paths = sorted(ours | theirs)
    different = [
        path
        for path in paths
        if _shape(ours, path) != _shape(theirs, path) or (path in head and not keeps_head)
    ]
    for path in different:
        if path not in head:
            raise UserError(
                f"{origin} is of another model: {path} is {_shape(theirs, path)} there and "
                f"{_shape(ours, path)} here; name weights of this model, with any classes."
            )
    taken = {
        path: leaf if path in different else np.asarray(theirs[path], leaf.dtype)
        for path, leaf in ours.items()
    }
    empty = {"params": {}, "batch_stats": {}}
    return empty | traverse_util.unflatten_dict(taken, sep="/"), different


def head_parameters(model: nn.Module, image_shape: tuple[int, int, int]) -> set[str]:
    """Paths of parameters whose shape depends on the number of classes.

    Args:
      model: any module; without a field `num_outputs` the result is empty.
      image_shape: height, width and channels.
    """
    if not hasattr(model, "num_outputs"):
        return set()
    wider = model.clone(num_outputs=model.num_outputs + 1)
    shapes, wider_shapes = (_flat(variable_shapes(m, image_shape)) for m in (model, wider))
    return {path for path in shapes if _shape(shapes, path) != _shape(wider_shapes, path)}


def _flat(variables):
    return traverse_util.flatten_dict(dict(variables), sep="/")


def _shape(flat, path):
    return tuple(flat[path].shape) if path in flat else "absent"
