"""Arithmetic on trees: float32 sums, zero norms, angles."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gnp.regularization import tree

# Squares of smaller numbers than these underflow, as in any norm in float32.
FINITE = st.just(0.0) | st.floats(2**-20, 100, width=32) | st.floats(-100, -(2**-20), width=32)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)
TREES = st.dictionaries(
    st.sampled_from("abcd"), SHAPES.flatmap(lambda s: hnp.arrays(np.float32, s, elements=FINITE))
)


def test_norm_is_taken_in_float32_for_bfloat16():
    leaf = jnp.ones(3000, jnp.bfloat16)  # a sum in bfloat16 stops growing at 256
    norm = tree.global_norm({"a": leaf})
    assert norm.dtype == jnp.float32
    np.testing.assert_allclose(norm, 3000**0.5, rtol=1e-6)


@given(TREES)
def test_unit_has_length_one_or_zero(values):
    norm = float(tree.global_norm(tree.unit(values)))
    flat = np.concatenate([np.ravel(v) for v in values.values()] or [np.zeros(1)])
    expected = 1.0 if np.sum(np.square(flat, dtype=np.float32)) > 0 else 0.0
    np.testing.assert_allclose(norm, expected, rtol=1e-5)


def test_cosine_of_a_zero_tree_is_zero():
    assert tree.cosine({"a": jnp.zeros(3)}, {"a": jnp.ones(3)}) == 0


def test_orthogonal_part_is_orthogonal_and_what_was_left_out():
    a, b = {"x": jnp.array([3.0, 4.0])}, {"x": jnp.array([2.0, 0.0])}
    np.testing.assert_allclose(tree.orthogonal_part(a, b)["x"], [0.0, 4.0], atol=1e-6)
    np.testing.assert_array_equal(tree.orthogonal_part(a, {"x": jnp.zeros(2)})["x"], a["x"])
