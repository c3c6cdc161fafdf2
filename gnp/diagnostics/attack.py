"""The fast gradient attack: each image moves a little in the direction that raises its loss."""

from collections.abc import Callable

import jax

from gnp.regularization.input_gradient import adversarial_inputs


def fast_gradient(
    loss_fn: Callable[[jax.Array], jax.Array], images: jax.Array, radius: float
) -> jax.Array:
    """x + radius·∇ₓℓ/‖∇ₓℓ‖₂ for each image (fast gradient method, arXiv 1412.6572, 1704.03976).

    Args:
      loss_fn: the sum or mean of the images' losses, each depending on its own image alone.
      images: batch x height x width x channels, in the units of the model's input.
      radius: Euclidean distance that each image moves, in the same units.
    """
    return adversarial_inputs(images, jax.grad(loss_fn)(images), radius)
