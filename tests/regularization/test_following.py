"""A radius that follows the loss: closed forms, and what it is around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gnp
from gnp.errors import UserError
from gnp.regularization.ae_sam import where_steep
from gnp.regularization.ascent import STEEPEST, StepGradients, ascent, ascent_names
from gnp.regularization.following import following_loss

ZERO, ONE = jnp.zeros(2), jnp.ones(2)


def updated(following, losses):
    memory = following.init(ZERO)
    for loss in losses:
        memory = following.update(memory, StepGradients(ONE, ONE, 1.0, jnp.float32(loss)))
    return memory


@pytest.mark.parametrize(
    ("losses", "factor"),
    [([], 1), ([2.0, 9.0], 1), ([0.0], 0.9), ([0.0, 0.0], 0.81), ([0.25], 0.95), ([9.0, 0.0], 1)],
)
def test_the_factor_is_the_average_loss_over_the_limit(losses, factor):
    following = following_loss(STEEPEST, full_above=0.5)
    np.testing.assert_allclose(
        following.radius_factor(updated(following, losses)), factor, rtol=1e-6
    )


@pytest.mark.parametrize("name", ascent_names())
def test_direction_and_memory_are_those_of_the_inner_ascent(name):
    inner = ascent(name)
    following = following_loss(inner, full_above=0.5)
    memory, own = updated(following, [0.1, 0.2]), inner.initial_memory(ZERO)
    gradients = StepGradients(ONE, ONE, 1.0, jnp.float32(0.1))
    for _ in range(2):
        own = inner.update(own, gradients)
    arguments = jnp.array([3.0, -1.0]), jnp.array([0.5, 2.0])
    key = jax.random.key(0)
    np.testing.assert_array_equal(
        following.direction(*arguments, memory, key), inner.direction(*arguments, own, key)
    )
    assert following.needs_gradient == inner.needs_gradient
    gradient, later = following.standard_step(ONE, memory)
    np.testing.assert_array_equal(gradient, ONE)
    assert later["loss"] == memory["loss"]


def test_the_steps_of_ae_sam_are_chosen_as_before():
    steep = where_steep(STEEPEST, total_steps=10)
    following = following_loss(steep, full_above=0.5)
    memory = following.init(ZERO)
    _, memory = following.standard_step(jnp.array([3.0, 4.0]), memory)
    assert following.is_wanted(jnp.array(25.0), memory)
    assert not following.is_wanted(jnp.array(1.0), memory)


def test_on_a_quadratic_the_gradient_is_that_at_the_shorter_radius():
    """L = w²/2 in one dimension: g(w + r·f) = w + r·f, f = min(1, the average of L over 2)."""
    gradient = gnp.value_and_grad(
        lambda w: jnp.sum(w**2) / 2,
        r=0.5,
        alpha=1.0,
        ascent=following_loss(STEEPEST, full_above=2.0),
    )
    w, average = jnp.array([1.0]), 2.0
    memory = gradient.init(w)
    for _ in range(3):
        (_, found), memory = gradient.apply(memory, w)
        np.testing.assert_allclose(found, w + 0.5 * min(1, average / 2), rtol=1e-6)
        average = 0.9 * average + 0.1 * float(w[0] ** 2 / 2)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(UserError, match="it must be above 0"):
        following_loss(STEEPEST, full_above=limit)
