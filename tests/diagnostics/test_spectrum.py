"""Spectra of matrices that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import trapezoid

from gnp.diagnostics.spectrum import (
    hutchinson_trace,
    lanczos,
    random_direction,
    spectral_density,
)

SIZE = 200


def known_matrix(eigenvalues, seed=0):
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))[0]
    return jnp.asarray((vectors * eigenvalues) @ vectors.T, jnp.float32)


def product_with(matrix):
    return lambda vector: jnp.dot(matrix, vector, precision="highest")


def start(seed=0, size=SIZE):
    return random_direction(jax.random.PRNGKey(seed), size)


def test_the_outer_eigenvalues_are_found():
    eigenvalues = np.concatenate([np.linspace(-1, 1, SIZE - 6), [-5, 4, 6, 10, 20, 50]])
    found, weights = lanczos(
        product_with(known_matrix(eigenvalues)), start(), 40
    ).eigenvalues_and_weights()
    np.testing.assert_allclose(found[::-1][:5], [50, 20, 10, 6, 4], rtol=1e-4)
    assert found[0] == pytest.approx(-5, rel=1e-4)
    assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_the_bound_of_the_error_holds_and_shrinks_with_the_steps():
    eigenvalues = np.concatenate([np.linspace(0, 1, SIZE - 2), [1.5, 2]])
    bounds = []
    for num_steps in (5, 10, 20):
        run = lanczos(product_with(known_matrix(eigenvalues)), start(), num_steps)
        values, errors = run.largest(2)
        for value, error in zip(values, errors, strict=True):
            assert min(abs(eigenvalues - value)) <= error + 1e-5
        bounds.append(errors[0])
    assert bounds[2] < 0.01 < bounds[0]


def test_no_eigenvalue_comes_twice():
    """Without reorthogonalization, the largest one shows up again within so many steps."""
    eigenvalues = np.concatenate([np.linspace(0, 1, SIZE - 2), [100, 1000]])
    found = lanczos(product_with(known_matrix(eigenvalues)), start(), 60).eigenvalues_and_weights()[
        0
    ]
    np.testing.assert_allclose(found[-2:], [100, 1000], rtol=1e-4)
    assert found[-3] < 1.01


def test_a_whole_small_spectrum_is_found_and_then_it_ends():
    eigenvalues = np.array([-3.0, -1, 0.5, 2, 7])
    found = lanczos(
        product_with(known_matrix(eigenvalues)), start(size=5), 30
    ).eigenvalues_and_weights()[0]
    np.testing.assert_allclose(found, eigenvalues, rtol=1e-4, atol=1e-4)


def test_lanczos_ends_where_the_directions_are_exhausted():
    found = lanczos(lambda v: 3 * v, start(), 20)
    np.testing.assert_allclose(found.diagonal, [3.0], rtol=1e-6)
    assert found.off_diagonal.size == 0


def test_the_trace_of_a_diagonal_matrix_is_exact():
    diagonal = jnp.arange(1.0, 11)
    trace, error = hutchinson_trace(lambda v: diagonal * v, 10, 3, jax.random.PRNGKey(0))
    assert trace == pytest.approx(55)
    assert error == pytest.approx(0, abs=1e-6)


def test_the_trace_is_within_its_error():
    eigenvalues = np.linspace(-2, 10, SIZE)
    product = product_with(known_matrix(eigenvalues))
    trace, error = hutchinson_trace(product, SIZE, 100, jax.random.PRNGKey(1))
    assert abs(trace - eigenvalues.sum()) < 3 * error
    assert error < 0.05 * eigenvalues.sum()


def test_the_density_has_the_mass_of_each_cluster():
    eigenvalues = np.repeat([0.0, 5.0, 10.0], [120, 60, 20])
    product = product_with(known_matrix(eigenvalues))
    runs = [lanczos(product, start(seed), 10) for seed in range(20)]
    points, density = spectral_density(runs)
    assert trapezoid(density, points) == pytest.approx(1, abs=1e-3)
    for centre, share in [(0, 0.6), (5, 0.3), (10, 0.1)]:
        near = abs(points - centre) < 2
        assert trapezoid(density[near], points[near]) == pytest.approx(share, abs=0.04)
