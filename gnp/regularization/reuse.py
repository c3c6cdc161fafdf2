"""LookSAM: steps between penalized ones reuse what the last penalty added (arXiv 2203.02714).

Algorithm 1 of the paper, with g1 the gradient at θ and g the penalized gradient:

    penalized step    g_v = g − (⟨g, g1⟩ / ‖g1‖²)·g1     is remembered
    standard step     g1 + strength·‖g1‖·g_v / ‖g_v‖      is what the optimizer gets
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gnp.regularization import tree

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Reuse:
    """The memory that LookSAM keeps from one penalized step to the next.

    Attributes:
      strength: length of what is added, as a share of the gradient's own length.
    """

    strength: float

    def init(self, params: PyTree) -> PyTree:
        """The memory before the first penalized step: zeros, which add nothing."""
        return jax.tree.map(jnp.zeros_like, params)

    def remember(self, gradient: PyTree, clean_gradient: PyTree, weight: jax.Array) -> PyTree:
        """The memory after a penalized step.

        Args:
          gradient: g.
          clean_gradient: g1.
          weight: α·r of the step. At 0 the two are equal up to rounding, whose direction means
            nothing, so nothing is remembered.
        """
        return tree.scale(tree.orthogonal_part(gradient, clean_gradient), weight > 0)

    def add(self, gradient: PyTree, memory: PyTree) -> PyTree:
        """The gradient of a standard step with what is remembered."""
        return tree.add(gradient, tree.unit(memory), self.strength * tree.global_norm(gradient))
