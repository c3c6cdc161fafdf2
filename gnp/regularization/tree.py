"""Arithmetic on trees of arrays. Sums and norms are taken in float32 or finer."""

from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def normal_like(key: jax.Array, like: PyTree) -> PyTree:
    """A tree of independent standard normal numbers, in float32."""
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    samples = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, samples)


def inner_product(a: PyTree, b: PyTree) -> jax.Array:
    """Sum over all leaves of the products of their elements."""

    def leaf_product(x, y):
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        return jnp.sum(x.astype(dtype) * y.astype(dtype))

    return sum(jax.tree.leaves(jax.tree.map(leaf_product, a, b)), start=jnp.float32(0))


def global_norm(tree: PyTree) -> jax.Array:
    """Euclidean norm over all leaves together."""
    return jnp.sqrt(inner_product(tree, tree))


def safe_sqrt(x: jax.Array) -> jax.Array:
    """√x, whose derivative at 0 is 0."""
    is_positive = x > 0
    return jnp.where(is_positive, jnp.sqrt(jnp.where(is_positive, x, 1)), 0)


def divide(a, b) -> jax.Array:
    """a / b, element by element; 0 where b is 0."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))


def cosine(a: PyTree, b: PyTree) -> jax.Array:
    """Cosine of the angle between two trees; 0 where one of them is zero."""
    return divide(inner_product(a, b), global_norm(a) * global_norm(b))


def scale(tree: PyTree, factor) -> PyTree:
    """factor·tree, leaf by leaf."""
    return jax.tree.map(lambda leaf: factor * leaf, tree)


def unit(tree: PyTree) -> PyTree:
    """tree / ‖tree‖; all zeros where the norm is zero."""
    return scale(tree, divide(1, global_norm(tree)))


def precise(tree: PyTree) -> PyTree:
    """The tree with narrower floating-point leaves as float32, which small changes need."""

    def widened(leaf):
        leaf = jnp.asarray(leaf)
        return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))

    return jax.tree.map(widened, tree)


def cast(tree: PyTree, like: PyTree) -> PyTree:
    """The tree in the types of another."""
    return jax.tree.map(lambda leaf, x: leaf.astype(x.dtype), tree, like)


def add(a: PyTree, b: PyTree, factor=1) -> PyTree:
    """a + factor·b, leaf by leaf, in the types of a."""
    return jax.tree.map(lambda x, y: (x + factor * y).astype(x.dtype), a, b)


def mix(a: PyTree, b: PyTree, weight) -> PyTree:
    """(1 − weight)·a + weight·b, leaf by leaf, in the types of b."""
    return jax.tree.map(lambda x, y: ((1 - weight) * x + weight * y).astype(y.dtype), a, b)


def orthogonal_part(a: PyTree, b: PyTree) -> PyTree:
    """What is left of a without its component along b; a itself where b is zero."""
    return add(a, b, -divide(inner_product(a, b), inner_product(b, b)))
