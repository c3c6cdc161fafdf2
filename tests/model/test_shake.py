"""ShakeDrop and shake-shake: what they multiply forward and backward."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.model import create_model, model_names
from gnp.model.conv_layers import shake
from gnp.model.pyramidnet import ShakeDrop
from gnp.model.shake_shake import ShakeShake
from tests.model.golden_models import BARE

pytestmark = pytest.mark.usefixtures("_compile_fast")

SHAPE = (64, 3, 3, 2)


def factors(module, branches, seed, **flags):
    """What each example's branches are multiplied by, forward and backward."""
    ones = jnp.ones(SHAPE)

    def output(scales):
        scaled = [ones * s[:, None, None, None] for s in scales]
        rngs = {"shake": jax.random.key(seed)}
        return module.apply({}, *scaled, train=True, rngs=rngs, **flags)

    result, pull = jax.vjp(output, jnp.ones((branches, len(ones))))
    per_example = result.reshape(len(ones), -1)
    np.testing.assert_array_equal(per_example, per_example[:, :1].repeat(18, axis=1))
    return per_example[:, 0], pull(jnp.ones(SHAPE))[0] / per_example.shape[1]


def test_shake_multiplies_forward_and_backward_by_different_numbers():
    value, pull = jax.vjp(lambda x: shake(x, 2.0, 5.0), jnp.ones(3))
    np.testing.assert_array_equal(value, 2 * jnp.ones(3))
    np.testing.assert_array_equal(pull(jnp.ones(3))[0], 5 * jnp.ones(3))


def test_shake_can_be_differentiated_forward_over_reverse():
    def gradient(x):
        return jax.grad(lambda x: (shake(x, 2.0, 5.0) ** 2).sum())(x)

    # The gradient is 2·(2x)·5, which grows by 20 for each x.
    np.testing.assert_allclose(jax.jvp(gradient, [jnp.ones(2)], [jnp.ones(2)])[1], [20.0, 20.0])


def test_a_dropped_block_is_multiplied_by_alpha_forward_and_beta_backward():
    forward, (backward,) = factors(ShakeDrop(keep=0.0), 1, seed=0)
    assert -1 <= forward.min() < -0.9
    assert 0.9 < forward.max() <= 1
    assert 0 <= backward.min() < 0.1
    assert 0.9 < backward.max() <= 1
    assert abs(np.corrcoef(forward, backward)[0, 1]) < 0.3


def test_a_kept_block_is_left_alone():
    forward, (backward,) = factors(ShakeDrop(keep=1.0), 1, seed=0)
    np.testing.assert_array_equal(forward, jnp.ones(64))
    np.testing.assert_allclose(backward, jnp.ones(64), rtol=1e-6)


def test_each_example_is_kept_with_its_probability():
    kept = np.array([factors(ShakeDrop(keep=0.7), 1, seed=s)[0] == 1 for s in range(20)])
    # 1280 examples: four standard deviations are 0.05, and one of each draw of 64 is 0.057.
    assert abs(kept.mean() - 0.7) < 0.05
    assert 0.03 < kept.mean(axis=1).std() < 0.09


def test_a_kept_example_is_left_alone_backward_too():
    forward, (backward,) = factors(ShakeDrop(keep=0.5), 1, seed=0)
    np.testing.assert_array_equal(forward == 1, np.isclose(backward, 1, rtol=1e-6))


def test_shake_drop_draws_from_the_ranges_it_is_given():
    forward, (backward,) = factors(ShakeDrop(0.0, alpha=(2.0, 3.0), beta=(5.0, 5.5)), 1, seed=0)
    assert 2 <= forward.min() < 2.2
    assert 2.8 < forward.max() <= 3
    assert 5 <= backward.min() < 5.1
    assert 5.4 < backward.max() <= 5.5


def test_shake_drop_evaluates_to_its_expectation():
    x = jnp.linspace(-2.0, 2.0, 7)[:, None]
    np.testing.assert_allclose(ShakeDrop(keep=0.75).apply({}, x, train=False), 0.75 * x)
    lopsided = ShakeDrop(keep=0.75, alpha=(0.0, 1.0))
    np.testing.assert_allclose(lopsided.apply({}, x, train=False), 0.875 * x)


def test_shake_shake_mixes_both_branches_by_numbers_that_sum_to_one():
    forward, (first, second) = factors(ShakeShake(), 2, seed=0)
    np.testing.assert_allclose(forward, jnp.ones(64), rtol=1e-6)
    np.testing.assert_allclose(first + second, jnp.ones(64), rtol=1e-5)
    assert 0 <= first.min() < 0.1
    assert 0.9 < first.max() <= 1


def test_shake_shake_draws_anew_for_the_backward_pass():
    ones, zeros = jnp.ones((64, 1)), jnp.zeros((64, 1))

    def mixed(first, **flags):
        rngs = {"shake": jax.random.key(0)}
        return ShakeShake().apply({}, first, zeros, train=True, rngs=rngs, **flags)

    forward, pull = jax.vjp(mixed, ones)
    backward = pull(ones)[0]
    assert abs(np.corrcoef(forward[:, 0], backward[:, 0])[0, 1]) < 0.3
    same_forward, pull = jax.vjp(lambda x: mixed(x, true_gradient=True), ones)
    np.testing.assert_array_equal(same_forward, forward)
    np.testing.assert_array_equal(pull(ones)[0], forward)


def test_shake_shake_evaluates_to_the_mean():
    np.testing.assert_array_equal(ShakeShake().apply({}, 1.0, 4.0, train=False), 2.5)


@pytest.mark.parametrize("keep", [0.0, 0.6, 1.0])
def test_true_gradient_takes_the_forward_numbers_backward(keep):
    forward, _ = factors(ShakeDrop(keep), 1, seed=3)
    same_forward, (backward,) = factors(ShakeDrop(keep), 1, seed=3, true_gradient=True)
    np.testing.assert_array_equal(same_forward, forward)
    np.testing.assert_allclose(backward, forward, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("WideResNet_2_96_ShakeShake", {"width": 4, "blocks_per_group": 1}),
        ("PyramidNet_164_48_ShakeDrop", {"pyramid_depth": 11, "pyramid_alpha": 6}),
    ],
)
def test_the_gradient_of_a_model_is_that_of_its_loss_if_asked(name, fields):
    model = create_model(name, 3, **fields)
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 3))
    with jax.enable_x64(True):
        variables = jax.jit(model.init, static_argnames="train")(
            jax.random.key(0), images, train=False
        )
        params = jax.tree.map(lambda x: x.astype(jnp.float64), variables["params"])
        random = np.random.default_rng(1)
        direction = jax.tree.map(lambda x: random.standard_normal(x.shape), params)

        def loss(params, true_gradient):
            logits, _ = model.apply(
                {**variables, "params": params},
                images,
                train=True,
                true_gradient=true_gradient,
                mutable=["batch_stats"],
                rngs={"shake": jax.random.key(7)},
            )
            return jnp.square(logits).mean()

        @jax.jit
        def at(step):
            moved = jax.tree.map(lambda p, d: p + step * d, params, direction)
            return loss(moved, True)

        def slope(true_gradient):
            gradient = jax.jit(jax.grad(loss), static_argnums=1)(params, true_gradient)
            pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
            return float(sum(jnp.vdot(g, d) for g, d in pairs))

        asked, not_asked = slope(True), slope(False)
        expected = float(at(1e-8) - at(-1e-8)) / 2e-8  # closer than the next kink of a ReLU
    np.testing.assert_allclose(asked, expected, rtol=1e-4)
    assert abs(not_asked - expected) > 1e-3 * abs(expected)


def test_shake_models_alone_take_true_gradient():
    models = {name: create_model(name, 10, **BARE.get(name, {})) for name in model_names()}
    assert [
        name
        for name, model in models.items()
        if "true_gradient" in inspect.signature(type(model).__call__).parameters
    ] == [
        "PyramidNet_164_48_ShakeDrop",
        "PyramidNet_272_200_ShakeDrop",
        "WideResNet_2_96_ShakeShake",
    ]
