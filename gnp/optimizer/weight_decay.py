"""Which parameters weight decay takes where `no_weight_decay_on_bn` spares some.

The one definition for the L2 term of the loss and for the decay of AdamW.
"""

import logging
from typing import Any

import jax

PyTree = Any

# Biases may have two dimensions (attention). The rest are scales of norms, position embeddings and
# class tokens, as the models here and other Flax models call them.
_SPARED_NAMES = (
    "bias",
    "scale",
    "pos_embed",
    "pos_embedding",
    "relative_position_bias_table",
    "cls",
    "cls_token",
)

_log = logging.getLogger(__name__)


def decayed(params: PyTree) -> PyTree:
    """A tree like the parameters: whether each is decayed.

    Spared are parameters with one dimension or none, biases and scales, position embeddings and
    class tokens.
    """

    def is_decayed(path, leaf):
        return leaf.ndim > 1 and getattr(path[-1], "key", None) not in _SPARED_NAMES

    return jax.tree_util.tree_map_with_path(is_decayed, params)


def decayed_leaves(params: PyTree) -> list[jax.Array]:
    """The parameters that are decayed."""
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(decayed(params)), strict=True)
    return [leaf for leaf, is_decayed in pairs if is_decayed]


def log_counts(params: PyTree) -> None:
    """Logs how many parameters are decayed, and how many are spared."""
    leaves, taken = jax.tree.leaves(params), decayed_leaves(params)
    _log.info(
        "no_weight_decay_on_bn: weight decay takes %d of %d parameters (%d of %d numbers), no "
        "biases, scales, position embeddings and class tokens.",
        len(taken),
        len(leaves),
        sum(leaf.size for leaf in taken),
        sum(leaf.size for leaf in leaves),
    )
