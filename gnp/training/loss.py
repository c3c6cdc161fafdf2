"""The loss: of each image by name, label smoothing and an L2 term."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gnp.errors import unknown_name
from gnp.optimizer.decay import decayed_leaves
from gnp.registering import registering
from gnp.regularization import weight

# Of logits and labels, batch x classes: the loss of each image, batch.
ImageLoss = Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross entropy of each example, in float32 or finer.

    Args:
      logits: batch x classes.
      labels: batch x classes, non-negative, each row summing to one.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return -jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1)


_LOSSES: dict[str, ImageLoss] = {"cross_entropy": cross_entropy}


def register_loss(name: str) -> Callable[[ImageLoss], ImageLoss]:
    """Registers the loss of an image, as a value of `loss`.

    For example::

        @gnp.register_loss("brier")
        def brier(logits, labels):
            return jnp.sum((jax.nn.softmax(logits) - labels) ** 2, axis=-1)

    The function gets logits (batch x classes, float32 or finer) and labels of the same shape, whose
    rows sum to one: after label smoothing and mixing. It returns one number for each image. The
    loss of a batch is their mean; L2 term and penalties are added to it.

    Raises:
      UserError: the name is registered already.
    """
    return registering(_LOSSES, "loss", name)


def loss_names() -> list[str]:
    """The values of `loss`, sorted."""
    return sorted(_LOSSES)


def loss_function(name: str) -> ImageLoss:
    """The function that is registered as a loss.

    Raises:
      UserError: the name is unknown.
    """
    if name not in _LOSSES:
        raise unknown_name("loss", name, _LOSSES)
    return _LOSSES[name]


def loss_named(name: str) -> ImageLoss:
    """The loss of each image, computed in float32 or finer.

    Raises:
      UserError: the name is unknown.
    """
    image_loss = loss_function(name)

    def of_images(logits, labels):
        return image_loss(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), labels)

    return of_images


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
