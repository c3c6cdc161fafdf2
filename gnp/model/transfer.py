"""Initializing a model from the variables of another, perhaps with other classes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import linen as nn
from flax import traverse_util

from gnp.errors import UserError
from gnp.model.resized import resized
from gnp.model.scanned_blocks import is_stacked, stack_params, unstack_params
from gnp.model.weights import variable_shapes


class Taken(NamedTuple):
    """What a model starts from.

    Attributes:
      variables: `params` and `batch_stats`.
      left_fresh: paths of those that are not the given ones.
      resized: paths of those that were resized, with their shapes before and after.
    """

    variables: dict[str, Any]
    left_fresh: list[str]
    resized: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def take_variables(
    fresh: Mapping[str, Any],
    given: Mapping[str, Any],
    head: set[str],
    origin: str,
    *,
    keeps_head: bool = True,
    resizes: bool = False,
) -> Taken:
    """Replaces fresh variables by given ones.

    Blocks may be stacked (`scan_layers`) in one of the models and not in the other.

    Args:
      fresh: `params` and `batch_stats` of a new model.
      given: those of a trained model.
      head: paths of parameters that stay fresh if the given ones are missing or have another shape,
        from `head_parameters`.
      origin: source of the given variables, for the message.
      keeps_head: False: the head stays fresh whatever its shape, as its outputs mean other classes.
      resizes: whether parameters that depend on the size of images and patches are resized.

    Raises:
      UserError: the variables differ in more than that; the message names the first one.
    """
    rearrange = stack_params if is_stacked(fresh["params"]) else unstack_params
    ours = _flat(fresh)
    theirs = _flat({**given, "params": rearrange(given["params"])})
    taken, left_fresh, changed = {}, [], {}
    for path in sorted(ours | theirs):
        shapes = _shape(theirs, path), _shape(ours, path)
        if path in head and (shapes[0] != shapes[1] or not keeps_head):
            taken[path] = ours[path]
            left_fresh.append(path)
        elif shapes[0] == shapes[1]:
            taken[path] = np.asarray(theirs[path], ours[path].dtype)
        else:
            array = _resized(path, ours, theirs) if resizes else None
            if array is None:
                raise UserError(
                    f"{origin} is of another model: {path} is {shapes[0]} there and {shapes[1]} "
                    "here; name weights of this model, with any classes."
                )
            taken[path] = array.astype(ours[path].dtype)
            changed[path] = shapes
    empty = {"params": {}, "batch_stats": {}}
    return Taken(empty | traverse_util.unflatten_dict(taken, sep="/"), left_fresh, changed)


def _resized(path, ours, theirs):
    if path not in ours or path not in theirs:
        return None
    return resized(path, theirs[path], ours[path].shape)


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
