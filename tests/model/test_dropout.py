"""Dropout by half the random bits drops as often, independently, and keeps the mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.model.dropout import Dropout

SIZE = 2**18


def drop(x, rate, seed=0, *, deterministic=False):
    layer = Dropout(rate, deterministic=deterministic)
    return layer.apply({}, x, rngs={"dropout": jax.random.key(seed)})


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_zeros_is_the_rate_and_the_mean_stays(rate):
    found = np.asarray(drop(jnp.ones(SIZE), rate))
    deviation = np.sqrt(rate * (1 - rate) / SIZE)
    assert abs((found == 0).mean() - rate) < 4 * deviation
    assert abs(found.mean() - 1) < 4 * deviation / (1 - rate)
    np.testing.assert_allclose(np.unique(found), [0, 1 / (1 - rate)], rtol=2e-4)


def test_both_numbers_of_a_word_are_drawn_by_themselves():
    first, second = (np.asarray(drop(jnp.ones(SIZE), 0.5)) > 0).reshape(2, -1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(SIZE / 2)
    assert abs(first.mean() - 0.5) < 4 * 0.5 / np.sqrt(SIZE / 2)
    assert abs(second.mean() - 0.5) < 4 * 0.5 / np.sqrt(SIZE / 2)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 0), (7, 1, 3)])
def test_any_shape(shape):
    assert drop(jnp.ones(shape), 0.5).shape == shape


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_passes_where_a_number_is_kept(dtype):
    x = jnp.full((64, 9), 3, dtype)
    gradient = jax.grad(lambda x: drop(x, 0.3).sum())(x)
    np.testing.assert_array_equal(gradient * 3, drop(x, 0.3))
    assert gradient.dtype == drop(x, 0.3).dtype == dtype


def test_a_key_decides_what_is_dropped():
    x = jnp.ones(1000)
    np.testing.assert_array_equal(drop(x, 0.5), drop(x, 0.5))
    assert (drop(x, 0.5) != drop(x, 0.5, seed=1)).sum() > 400


@pytest.mark.parametrize(("rate", "deterministic"), [(0.0, False), (0.5, True)])
def test_nothing_is_drawn_where_nothing_is_dropped(rate, deterministic):
    x = jnp.ones(10)
    np.testing.assert_array_equal(Dropout(rate, deterministic=deterministic).apply({}, x), x)


def test_almost_everything_may_be_dropped():
    found = np.asarray(drop(jnp.ones(SIZE), 1 - 1e-9))
    assert np.isfinite(found).all()
    assert (found == 0).mean() > 0.999
