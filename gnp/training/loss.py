"""The loss: of each image by name, label smoothing and an L2 term."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gnp.errors import unknown_name
from gnp.optimizer.weight_decay import decayed_leaves
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


def binary_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over the classes of the cross entropy of a yes or no for each, by a sigmoid.

    -1/C sum_c [y_c log s(z_c) + (1 - y_c) log(1 - s(z_c))]. An image may have any number of the
    classes; of single labels it is one class against the rest. The mean is what
    `torch.nn.BCEWithLogitsLoss` takes, and with it arXiv 2110.00476 (section 2); others take the
    sum, which is C times as large.

    >>> loss = binary_cross_entropy(jnp.zeros((1, 3)), jnp.array([[1.0, 0.0, 1.0]]))
    >>> f"{loss[0]:.4f}"
    '0.6931'

    Args:
      logits: batch x classes.
      labels: batch x classes, each 0 to 1.
    """
    return -jnp.mean(
        labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits), axis=-1
    )


def focal(logits: jax.Array, labels: jax.Array, gamma: float = 2.0) -> jax.Array:
    """Focal loss, which listens less to what is classified well already (arXiv 1708.02002, eq. 4).

    -sum_c y_c (1 - p_c)^gamma log p_c with p the softmax: of a single label the paper's form for
    several classes (its section 3). Like the cross entropy it is linear in the labels, so smoothed
    and mixed ones are weighted means. With gamma 0 it is the cross entropy.

    >>> loss = focal(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))
    >>> f"{loss[0]:.4f}"  # (1 - 0.5)^2 log 2
    '0.1733'

    Args:
      logits: batch x classes.
      labels: batch x classes, non-negative, each row summing to one.
      gamma: at least 0.
    """
    log_p = jax.nn.log_softmax(logits)
    # Away from 0, where powers below 1, and derivatives of others, are infinite.
    rest = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(log_p.dtype).eps)
    return -jnp.sum(labels * rest**gamma * log_p, axis=-1)


_LOSSES: dict[str, ImageLoss] = {
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
    "focal": focal,
}


def register_loss(name: str) -> Callable[[ImageLoss], ImageLoss]:
    """Registers the loss of an image, as a value of `loss`.

    >>> @gnp.register_loss("brier")
    ... def brier(logits, labels):
    ...     return jnp.sum((jax.nn.softmax(logits) - labels) ** 2, axis=-1)
    ...
    >>> print(loss_function("brier")(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]])))
    [0.5]

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


def loss_named(name: str, **parameters: float) -> ImageLoss:
    """The loss of each image, computed in float32 or finer.

    Args:
      name: of the loss.
      **parameters: further arguments of it.

    Raises:
      UserError: the name is unknown.
    """
    image_loss = functools.partial(loss_function(name), **parameters)

    def of_images(logits, labels):
        return image_loss(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), labels)

    return of_images


def smooth_labels(labels: jax.Array, smoothing: float) -> jax.Array:
    """Moves the share `smoothing` of each label to all classes evenly (arXiv 1512.00567)."""
    return labels * (1 - smoothing) + smoothing / labels.shape[-1]


def decision_errors(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Share of the classes of each example whose yes or no is wrong.

    It is a yes where the probability, the sigmoid of the logit, is above 1/2.

    Args:
      logits: batch x classes.
      labels: batch x classes; a yes is above 1/2.
    """
    return jnp.mean((logits > 0) != (labels > 0.5), axis=-1)


def l2_penalty(params: Any, *, kernels_only: bool = False) -> jax.Array:
    """Half the sum of the squared parameters.

    Args:
      params: tree of arrays.
      kernels_only: only those of `gnp.optimizer.weight_decay.decayed`.
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
