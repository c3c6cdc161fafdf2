"""What the layers of a network receive: mean, spread, zeros and dead units."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from gnp.regularization import tree

PyTree = Any


def activation_statistics(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array
) -> dict[str, dict[str, float]]:
    """Statistics of the input of every layer with a kernel, and of the logits.

    Inputs are behind the activation function of the layer before, such as a ReLU.

    Args:
      model: called as `model(images, train=False)`, without scans or remat.
      variables: `params` and `batch_stats`.
      images: a batch.

    Returns:
      By the layer's path: `mean`, `std`, `zeros` (the share of exact zeros), `units` (channels) and
      `dead` (how many of them are zero in all images and places); `logits` comes last.
    """
    leaves = traverse_util.flatten_dict(variables["params"])
    with_kernel = {path[:-1] for path in leaves if path[-1] == "kernel"}

    def statistics(variables, images):
        found = {}

        def watch(call, args, kwargs, context):
            path = context.module.path
            if context.method_name == "__call__" and path in with_kernel:
                found.setdefault("/".join(path), _of(args[0]))
            return call(*args, **kwargs)

        with nn.intercept_methods(watch):
            logits = model.apply(variables, images, train=False)
        return list(found.items()), _of(logits)

    names = []

    @jax.jit
    def compute(variables, images):
        layers, logits = statistics(variables, images)
        names[:] = [*(name for name, _ in layers), "logits"]  # a jitted dict would be sorted
        return [*(values for _, values in layers), logits]

    values = jax.device_get(compute(variables, images))
    return {
        name: {key: number.item() for key, number in row.items()}
        for name, row in zip(names, values, strict=True)
    }


def batch_statistics(model: nn.Module, variables: Mapping[str, Any], images: jax.Array) -> PyTree:
    """The statistics that batch norms find in a batch, in place of the running ones.

    A running statistic moves to m·old + (1 − m)·found, whatever the momentum m; two moves, the
    first from zero, give m and so what was found. Before training, the running ones tell nothing.
    """
    if not variables.get("batch_stats"):
        return {}

    @jax.jit
    def compute(variables, images):
        def moved_from(stats):
            keys = {name: jax.random.PRNGKey(0) for name in ("dropout", "shake", "drop_path")}
            _, updated = model.apply(
                {"params": variables["params"], "batch_stats": stats},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs=keys,
            )
            return updated["batch_stats"]

        once = moved_from(jax.tree.map(jnp.zeros_like, variables["batch_stats"]))
        # The second move is m times the first: a share, whatever the size of what was found.
        return jax.tree.map(
            lambda a, b: tree.divide(a, 1 - tree.divide(b - a, a)), once, moved_from(once)
        )

    return compute(variables, images)


def _of(x):
    by_unit = x.reshape(-1, x.shape[-1])
    return {
        "mean": jnp.mean(x),
        "std": jnp.std(x),
        "zeros": jnp.mean(x == 0),
        "units": jnp.array(x.shape[-1]),
        "dead": jnp.sum(jnp.all(by_unit == 0, axis=0)),
    }
