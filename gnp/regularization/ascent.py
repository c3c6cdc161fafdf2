"""Perturbations of the parameters, by name: where the second pass looks.

Each function maps (params, gradient, r, key) to a tree that is added to the parameters.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gnp.errors import unknown_name
from gnp.regularization import tree

# Keeps the adaptive perturbation from vanishing where a weight is zero (ASAM, section 5).
_ADAPTIVE_OFFSET = 0.01


def along_gradient(params, gradient, r, key):
    """r·g/‖g‖: the steepest ascent on a sphere (arXiv 2202.03599, 2010.01412)."""
    del params, key
    return tree.scale(tree.unit(gradient), r)


def adaptive(params, gradient, r, key):
    """r·T²g/‖T·g‖ with T = |w| + 0.01: ascent invariant to rescaling (ASAM, arXiv 2102.11600)."""
    del key
    scaled = jax.tree.map(lambda w, g: (jnp.abs(w) + _ADAPTIVE_OFFSET) * g, params, gradient)
    direction = tree.unit(scaled)
    return jax.tree.map(lambda w, d: r * (jnp.abs(w) + _ADAPTIVE_OFFSET) * d, params, direction)


def at_random(params, gradient, r, key):
    """r·z/‖z‖ with z from the standard normal distribution: a control of the same length."""
    del gradient
    return tree.scale(tree.unit(tree.normal_like(key, params)), r)


_ASCENTS = {"gradient": along_gradient, "adaptive": adaptive, "random": at_random}


def ascent_names() -> list[str]:
    """The names that `ascent` knows, sorted."""
    return sorted(_ASCENTS)


def ascent(name: str) -> Callable:
    """The perturbation of that name.

    Raises:
      UserError: the name is unknown.
    """
    if name not in _ASCENTS:
        raise unknown_name("direction of ascent (gnp.ascent)", name, _ASCENTS)
    return _ASCENTS[name]
