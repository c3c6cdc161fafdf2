"""Norms of trees of parameters, gradients or updates, layer by layer."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import traverse_util

from gnp.regularization import tree


def layer_names(params: Mapping) -> list[str]:
    """The paths of the modules that hold parameters, in the order of `layer_norms`."""
    return sorted({path.rpartition("/")[0] for path in _flat(params)})


def layer_norms(params: Mapping) -> jax.Array:
    """The Euclidean norm of all that each module itself holds: one number for each layer name."""
    layers: dict[str, list[jax.Array]] = {name: [] for name in layer_names(params)}
    for path, leaf in _flat(params).items():
        layers[path.rpartition("/")[0]].append(leaf)
    return jnp.stack([tree.global_norm(leaves) for leaves in layers.values()])


def _flat(params):
    return traverse_util.flatten_dict(params, sep="/")
