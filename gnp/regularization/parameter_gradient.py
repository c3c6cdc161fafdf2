"""The squared parameter-gradient penalty L + ¼·γ·‖∇_θL‖².

Gradient descent with the learning rate γ follows, to first order in γ, the gradient flow of this
loss instead of that of L (implicit gradient regularization, arXiv 2009.11162).
"""

from collections.abc import Callable
from typing import Any

import jax

from gnp.regularization import tree

PyTree = Any


def penalty(
    gradient: PyTree, average: Callable[[PyTree], PyTree] = lambda gradient: gradient
) -> jax.Array:
    r"""The square :math:`\|\nabla L\|^2`, whose derivative is exact: :math:`2 H \nabla L`.

    >>> print(penalty({"weights": jnp.array([3.0, 4.0])}))
    25.0

    Args:
      gradient: ∇_θL, as a function of the parameters.
      average: averages it over the devices that share a batch. The derivative is then such that its
        mean over them is that of the norm of their mean gradient.
    """
    mean = jax.lax.stop_gradient(average(gradient))
    # Collectives are not differentiated: with ∇̄ held, d‖∇̄‖² is 2⟨∇̄, d∇⟩ on average.
    product = tree.inner_product(mean, gradient)
    return tree.inner_product(mean, mean) + 2 * (product - jax.lax.stop_gradient(product))
