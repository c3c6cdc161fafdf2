"""AE-SAM: a step is penalized only where the gradient is long (arXiv 2304.14647, algorithm 1).

With g1 the gradient at θ, t the step and T the length of the run:

    μ ← δ·μ + (1 − δ)·‖g1‖²
    σ² ← δ·σ² + (1 − δ)·(‖g1‖² − μ)²
    penalized where ‖g1‖² ≥ μ + c·σ,  with c from 1 at the first step to −1 at the last

so that few of the first steps are penalized, and most of the last. δ = 0.9. μ and σ² begin as 0.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gnp.regularization import tree
from gnp.regularization.ascent import Ascent

_DECAY = 0.9
_FIRST, _LAST = 1.0, -1.0


class _Statistics(NamedTuple):
    """Of the squared gradient norms so far. The count is of the steps."""

    mean: jax.Array
    variance: jax.Array
    count: jax.Array

    def with_norm(self, squared_norm):
        mean = _DECAY * self.mean + (1 - _DECAY) * squared_norm
        variance = _DECAY * self.variance + (1 - _DECAY) * (squared_norm - mean) ** 2
        return _Statistics(mean, variance, self.count + 1)


def where_steep(inner: Ascent, total_steps: int) -> Ascent:
    r"""An ascent that asks, before the perturbed pass, whether the gradient is long.

    That is where :math:`\|g_1\|^2 \ge \mu + c \sigma`, with μ and σ from the steps so far.

    >>> from gnp.regularization.ascent import ascent
    >>> steep = where_steep(ascent("gradient"), total_steps=100)
    >>> _, memory = steep.standard_step(jnp.array([3.0, 4.0]), steep.init(None))
    >>> print(steep.is_wanted(jnp.array(25.0), memory), steep.is_wanted(jnp.array(1.0), memory))
    True False

    Args:
      inner: the ascent of penalized steps.
      total_steps: T, the length of the run.

    Raises:
      UserError: the inner ascent remembers something itself, or makes no pass at θ.
    """
    inner.require_no_memory("gnp.when.steep remembers the gradients' norms")

    def init(params):
        del params
        zero = jnp.zeros(())
        return _Statistics(zero, zero, jnp.zeros((), jnp.int32))

    def is_wanted(squared_norm, memory):
        share = memory.count / total_steps
        limit = (1 - share) * _FIRST + share * _LAST
        with_own = memory.with_norm(squared_norm)
        return squared_norm >= with_own.mean + limit * jnp.sqrt(with_own.variance)

    def update(memory, gradients):
        return memory.with_norm(tree.inner_product(gradients.clean, gradients.clean))

    def standard_step(gradient, memory):
        return gradient, memory.with_norm(tree.inner_product(gradient, gradient))

    return dataclasses.replace(
        inner, init=init, is_wanted=is_wanted, update=update, standard_step=standard_step
    )
