"""Loops and branches within a program, and doing without them where they are slow."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def is_slow() -> bool:
    """Whether programs should do without loops and branches: on CPUs.

    For CPUs XLA brings convolutions into the form that its fast code takes, but not within loops
    and branches, where their gradients take many times as long (seen with jaxlib 0.10 to 0.12).
    """
    return jax.default_backend() == "cpu"


def either(
    condition: jax.Array, if_true: Callable[[], PyTree], if_false: Callable[[], PyTree]
) -> PyTree:
    """`jax.lax.cond`; both are computed where branches are slow."""
    if is_slow():
        return jax.tree.map(functools.partial(jnp.where, condition), if_true(), if_false())
    return jax.lax.cond(condition, if_true, if_false)


def scan(
    body: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]], carry: PyTree, xs: PyTree
) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan`, unrolled where loops are slow.

    Unrolled, a program takes longer to compile, and the memory of what it does several times adds
    up.
    """
    return jax.lax.scan(body, carry, xs, unroll=is_slow())
