"""How much a loss rises within a distance of its parameters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gnp.regularization import tree
from gnp.regularization.control_flow import scan

PyTree = Any


def worst_case_rise(
    loss_fn: Callable[[PyTree], jax.Array], params: PyTree, r: float, num_steps: int, key: jax.Array
) -> jax.Array:
    """The largest rise L(θ + ε) − L(θ) that ascent finds on the sphere ‖ε‖ = r.

    The first step is r·∇L/‖∇L‖, that of SAM (arXiv 2010.01412, equation 2); further ones go to
    r·∇L(θ + ε)/‖∇L(θ + ε)‖, which never descends where L is convex (the generalized power method,
    Journée et al. 2010). The largest rise on the way counts, so more steps never give less.

    Args:
      loss_fn: `params -> loss`.
      params: θ.
      r: the radius.
      num_steps: gradients taken, from 1.
      key: draws the first direction where the gradient is zero.
    """
    value_and_gradient = jax.value_and_grad(loss_fn)
    start, gradient = value_and_gradient(params)

    def step(carry, _):
        gradient, highest = carry
        moved = tree.add(params, _direction(gradient, key), r)
        loss, gradient = value_and_gradient(moved)
        return (gradient, jnp.maximum(highest, loss)), None

    further_steps = jnp.arange(num_steps - 1)
    (gradient, highest), _ = scan(step, (gradient, jnp.array(-jnp.inf, start.dtype)), further_steps)
    last = loss_fn(tree.add(params, _direction(gradient, key), r))
    return jnp.maximum(highest, last) - start


def normal_like(key: jax.Array, like: PyTree) -> PyTree:
    """A tree of independent standard normal numbers."""
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def _direction(gradient, key):
    is_zero = tree.global_norm(gradient) == 0
    drawn = tree.unit(normal_like(key, gradient))
    return jax.tree.map(lambda u, d: jnp.where(is_zero, d, u), tree.unit(gradient), drawn)
