"""The loss of a batch: cross entropy with soft labels, label smoothing and an L2 term."""

from typing import Any

import jax
import jax.numpy as jnp

from gnp.optimizer.decay import decayed_leaves
from gnp.regularization import weight


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross entropy of each example, in float32 or finer.

    Args:
      logits: batch x classes.
      labels: batch x classes, non-negative, each row summing to one.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return -jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1)


def smooth_labels(labels: jax.Array, smoothing: float) -> jax.Array:
    """Moves the share `smoothing` of each label to all classes evenly (arXiv 1512.00567)."""
    return labels * (1 - smoothing) + smoothing / labels.shape[-1]


def l2_penalty(params: Any, *, kernels_only: bool = False) -> jax.Array:
    """Half the sum of the squared parameters.

    Args:
      params: tree of arrays.
      kernels_only: only those of `gnp.optimizer.decay.decayed`.
    """
    return sum(map(weight.l2, decayed_leaves(params) if kernels_only else jax.tree.leaves(params)))


def top_k_errors(logits: jax.Array, labels: jax.Array, k: int = 1) -> jax.Array:
    """1 for each example whose true class is not among the k largest logits, else 0.

    The true class is the one with the largest share of the label. Where logits tie, the class
    with the smaller index counts as larger.

    Args:
      logits: batch x classes.
      labels: batch x classes.
    """
    k = min(k, logits.shape[-1])
    best = jax.lax.top_k(logits, k)[1]
    true_class = jnp.argmax(labels, axis=-1)
    hit = jnp.any(best == true_class[:, None], axis=-1)
    return 1.0 - hit
