"""The fast gradient attack: how a model does when each image is moved a little to its harm."""

from collections.abc import Callable

import jax

from gnp.regularization.input_gradient import adversarial_inputs


def fast_gradient(
    loss_fn: Callable[[jax.Array], jax.Array], images: jax.Array, radius: float
) -> jax.Array:
    """x + radius·∇ₓℓ/‖∇ₓℓ‖₂ for each image (fast gradient method, arXiv 1412.6572, 1704.03976).

    Args:
      loss_fn: the sum or mean of the images' losses, each depending on its own image alone.
      images: batch x height x width x channels, as the model gets them.
      radius: how far each is moved, in Euclidean distance and the units of the model's input.
    """
    return adversarial_inputs(images, jax.grad(loss_fn)(images), radius)
