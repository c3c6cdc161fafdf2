"""Where in a network numbers stop being finite."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

PyTree = Any


def first_bad_layer(loss_fn: Callable[[PyTree], jax.Array], params: PyTree) -> str:
    """Names the layer where the numbers go wrong, in words that end a sentence.

    Runs the loss and its gradient once more, operation by operation, and looks at the parameters,
    then at what each module returns in the order of the computation, then at the gradient in the
    reverse order.

    Args:
      loss_fn: `params -> loss`, which applies a Flax module to a batch.
      params: the parameters.
    """
    if bad := [path for path, leaf in _flat(params).items() if not _is_finite(leaf)]:
        return f"the parameter {bad[0]}"
    modules = []

    def watch(call, args, kwargs, context):
        if context.method_name == "__call__" and not all(map(_is_finite, jax.tree.leaves(args))):
            modules.append(("the input of " + _name(context.module), False))
        result = call(*args, **kwargs)
        if context.method_name == "__call__":
            modules.append((_name(context.module), _is_finite(result)))
        return result

    with nn.intercept_methods(watch):
        loss = loss_fn(params)
    for name, is_finite in modules:
        if not is_finite:
            return f"the layer {name}" if not name.startswith("the input") else name
    if not _is_finite(loss):
        return "the loss itself, though all layers are finite"
    gradient = _flat(jax.grad(loss_fn)(params))
    order = {name: position for position, (name, _) in enumerate(modules)}
    bad = [path for path, leaf in gradient.items() if not _is_finite(leaf)]
    if not bad:
        return "no layer: computed again, all is finite"
    # Backward, the last layer of the network comes first.
    first = max(bad, key=lambda path: order.get(path.rpartition("/")[0], -1))
    return f"the gradient of {first}"


def _flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def _name(module):
    return "/".join(module.path) or type(module).__name__


def _is_finite(value):
    # What is traced for a scan has no value yet; the module around it will tell.
    return all(
        bool(jnp.isfinite(leaf).all())
        for leaf in jax.tree.leaves(value)
        if hasattr(leaf, "dtype")
        and jnp.issubdtype(leaf.dtype, jnp.inexact)
        and not isinstance(leaf, jax.core.Tracer)
    )
