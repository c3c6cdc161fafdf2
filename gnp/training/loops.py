"""Doing the same several times in one program."""

from collections.abc import Callable
from typing import Any

import jax

PyTree = Any


def scan(
    body: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]], carry: PyTree, xs: PyTree
) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan`, unrolled on CPUs.

    For CPUs XLA brings convolutions into the form that its fast code takes outside of loops alone;
    their gradients in a loop take 10 to 30 times as long (seen with jaxlib 0.10 to 0.12). Unrolled,
    a program takes longer to compile, and the memory of what it does several times adds up.
    """
    return jax.lax.scan(body, carry, xs, unroll=jax.default_backend() == "cpu")
