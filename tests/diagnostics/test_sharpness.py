"""The sharpness of a quadratic, whose maximum on a sphere is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.diagnostics.sharpness import worst_case_sharpness
from gnp.regularization import tree

HESSIAN = np.diag([1.0, 2.0, 8.0])
KEY = jax.random.PRNGKey(0)


def loss_fn(params):
    x = jnp.concatenate([params["a"], params["b"]])
    return 0.5 * x @ jnp.asarray(HESSIAN, x.dtype) @ x


def params_at(*x):
    return {"a": jnp.array(x[:1]), "b": jnp.array(x[1:])}


def largest_sharpness(x, r):
    """By looking at the sphere everywhere."""
    directions = np.random.default_rng(0).normal(size=(400_000, 3))
    moved = x + r * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    losses = 0.5 * np.einsum("ni,ij,nj->n", moved, HESSIAN, moved)
    return losses.max() - 0.5 * x @ HESSIAN @ x


def test_one_step_is_that_of_sam():
    x = np.array([1.0, -1.0, 0.5])
    gradient = HESSIAN @ x
    moved = x + 0.3 * gradient / np.linalg.norm(gradient)
    expected = 0.5 * moved @ HESSIAN @ moved - 0.5 * x @ HESSIAN @ x
    found = worst_case_sharpness(loss_fn, params_at(*x), 0.3, 1, KEY)
    assert found == pytest.approx(expected, rel=1e-5)


def test_steps_climb_to_the_maximum():
    x = np.array([1.0, -1.0, 0.02])
    steps = (1, 2, 4, 20)
    found = [float(worst_case_sharpness(loss_fn, params_at(*x), 0.5, n, KEY)) for n in steps]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(largest_sharpness(x, 0.5), rel=1e-3)
    assert found[0] < 0.95 * found[-1]


def test_at_a_minimum_it_is_half_the_largest_eigenvalue_times_the_squared_radius():
    found = worst_case_sharpness(loss_fn, params_at(0.0, 0.0, 0.0), 0.1, 20, KEY)
    assert found == pytest.approx(0.5 * 8 * 0.1**2, rel=1e-4)


def test_narrow_parameters_are_moved_precisely():
    """From 100 to 100.1 there is no number of bfloat16."""
    x = np.array([100.0, -100.0, 100.0])
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params_at(*x))
    found = worst_case_sharpness(loss_fn, narrow, 0.1, 2, KEY)
    assert found == pytest.approx(largest_sharpness(x, 0.1), rel=1e-2)


def test_noise_has_the_shape_of_the_parameters_and_variance_one():
    like = {"a": jnp.zeros(2), "b": jnp.zeros((3, 5))}
    samples = [tree.normal_like(jax.random.fold_in(KEY, n), like) for n in range(500)]
    assert jax.tree.map(jnp.shape, samples[0]) == jax.tree.map(jnp.shape, like)
    flat = np.array([np.concatenate([np.ravel(x) for x in jax.tree.leaves(s)]) for s in samples])
    np.testing.assert_allclose(flat.T @ flat / 500, np.eye(17), atol=0.25)
