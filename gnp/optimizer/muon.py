"""Which parameters are matrices to Muon, and how convolutions and attention become some.

Muon (https://kellerjordan.github.io/posts/muon) makes the update of a matrix orthogonal. The
kernel of a convolution is the matrix of its products: height · width · inputs × outputs.
"""

from typing import Any

import jax
import optax

from gnp.optimizer import weight_decay

PyTree = Any

# Modules whose kernels are inputs × heads × depth; others have their outputs last.
_SPLIT_OUTPUTS = ("query", "key", "value")


def matrices(params: PyTree) -> PyTree:
    """A tree like the parameters: the axes of each matrix; None for what AdamW trains instead.

    These are parameters with one dimension or none, biases, scales, position embeddings and tokens,
    the ones that `decay.decayed` spares.
    """

    def axes(path, leaf, is_matrix):
        if not is_matrix:
            return None
        inputs = 1 if _module(path) in _SPLIT_OUTPUTS else leaf.ndim - 1
        return optax.contrib.MuonDimensionNumbers(
            tuple(range(inputs)), tuple(range(inputs, leaf.ndim))
        )

    return jax.tree_util.tree_map_with_path(axes, params, weight_decay.decayed(params))


def _module(path):
    return getattr(path[-2], "key", None) if len(path) > 1 else None
