"""Statistics of the inputs of layers: mean, standard deviation, zeros and dead units."""

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

    An input is taken after the activation function of the previous layer, such as a ReLU.

    >>> class Net(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         x = nn.relu(nn.Dense(3)(images))
    ...         return nn.Dense(2)(x)
    ...
    >>> images = jnp.ones((4, 5))
    >>> variables = Net().init(jax.random.key(0), images, train=False)
    >>> found = activation_statistics(Net(), variables, images)
    >>> list(found), found["Dense_0"]["mean"]
    (['Dense_0', 'Dense_1', 'logits'], 1.0)

    Args:
      model: called as `model(images, train=False)`, without scans or remat.
      variables: `params` and `batch_stats`.
      images: a batch.

    Returns:
      By the layer's path: `mean`, `std`, `zeros` (the share of exact zeros), `units` (channels) and
      `dead` (the number of units that are zero in all images and at all positions). `logits` is the
      last entry.
    """
    leaves = traverse_util.flatten_dict(variables["params"])
    with_kernel = {path[:-1] for path in leaves if path[-1] == "kernel"}

    def statistics(variables, images):
        found = {}

        def watch(call, args, kwargs, context):
            path = context.module.path
            if context.method_name == "__call__" and path in with_kernel:
                found.setdefault("/".join(path), _statistics_of(args[0]))
            return call(*args, **kwargs)

        with nn.intercept_methods(watch):
            logits = model.apply(variables, images, train=False)
        return list(found.items()), _statistics_of(logits)

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
    """The batch norms' statistics of a batch, in the layout of the running statistics.

    Before training, the running statistics hold no information. An update gives
    m·old + (1 − m)·found for an unknown momentum m. Two updates, the first from zero, determine m
    and so the statistics of the batch.
    """
    if not variables.get("batch_stats"):
        return {}

    @jax.jit
    def compute(variables, images):
        def updated_from(stats):
            keys = {name: jax.random.PRNGKey(0) for name in ("dropout", "shake", "drop_path")}
            _, updated = model.apply(
                {"params": variables["params"], "batch_stats": stats},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs=keys,
            )
            return updated["batch_stats"]

        once = updated_from(jax.tree.map(jnp.zeros_like, variables["batch_stats"]))
        # The second change is m times the first: a ratio, so the scale of the statistics cancels.
        return jax.tree.map(
            lambda a, b: tree.divide(a, 1 - tree.divide(b - a, a)), once, updated_from(once)
        )

    return compute(variables, images)


def _statistics_of(x):
    by_unit = x.reshape(-1, x.shape[-1])
    return {
        "mean": jnp.mean(x),
        "std": jnp.std(x),
        "zeros": jnp.mean(x == 0),
        "units": jnp.array(x.shape[-1]),
        "dead": jnp.sum(jnp.all(by_unit == 0, axis=0)),
    }
