"""LookSAM: steps between penalized ones reuse what the last penalty added (arXiv 2203.02714).

Algorithm 1 of the paper, with g1 the gradient at θ and g the penalized gradient:

    penalized step    g_v = g − (⟨g, g1⟩ / ‖g1‖²)·g1     is remembered
    standard step     g1 + strength·‖g1‖·g_v / ‖g_v‖      is what the optimizer gets
"""

import dataclasses

import jax
import jax.numpy as jnp

from gnp.regularization import tree
from gnp.regularization.ascent import Ascent


def look_sam(inner: Ascent, strength: float) -> Ascent:
    r"""An ascent that is used again in the standard steps after a penalized one.

    They get :math:`g_1 + s \|g_1\| g_v / \|g_v\|`, with s the strength and g_v the last penalty's.

    >>> from gnp.regularization.ascent import ascent
    >>> look_sam(ascent("gradient"), strength=0.7).has_memory
    True

    Args:
      inner: the ascent of penalized steps.
      strength: length of what is added to a standard step, as a share of the gradient's own.

    Raises:
      UserError: the inner ascent remembers something itself, or makes no pass at θ.
    """
    inner.require_no_memory("gnp.reuse remembers the last penalty")

    def update(memory, gradients):
        # At weight 0 the two gradients are equal up to rounding, whose direction means nothing.
        g_v = tree.orthogonal_part(gradients.mixed, gradients.clean)
        return tree.scale(g_v, gradients.weight > 0)

    def standard_step(gradient, memory):
        length = strength * tree.global_norm(gradient)
        return tree.add(gradient, tree.unit(memory), length), memory

    return dataclasses.replace(
        inner,
        init=lambda params: jax.tree.map(jnp.zeros_like, params),
        update=update,
        standard_step=standard_step,
    )
