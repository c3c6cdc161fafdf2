"""Statistics of activations that are known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.diagnostics.activations import activation_statistics, batch_statistics

IMAGES = jax.random.normal(jax.random.PRNGKey(0), (32, 4, 4, 2))


class Net(nn.Module):
    """A convolution and two dense layers."""

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Conv(6, (3, 3))(inputs)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.7)(x))
        x = nn.relu(nn.Dense(10)(x.mean(axis=(1, 2))))
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


@pytest.fixture
def variables():
    return Net().init(jax.random.PRNGKey(1), IMAGES, train=False)


def test_dead_units_and_zeros_are_counted(variables):
    params = variables["params"]
    bias = jnp.full(10, 1e3).at[:3].set(-1e3)
    params = params | {"Dense_0": params["Dense_0"] | {"bias": bias}}
    found = activation_statistics(Net(), variables | {"params": params}, IMAGES)
    assert list(found) == ["Conv_0", "Dense_0", "Dense_1", "logits"]
    assert found["Dense_1"]["dead"] == 3
    assert found["Dense_1"]["units"] == 10
    assert found["Dense_1"]["zeros"] == pytest.approx(0.3)
    assert found["Conv_0"] == pytest.approx(
        {
            "mean": float(IMAGES.mean()),
            "std": float(IMAGES.std()),
            "zeros": 0,
            "units": 2,
            "dead": 0,
        },
        abs=1e-5,
    )


def test_statistics_of_the_batch_make_evaluation_like_training(variables):
    stats = batch_statistics(Net(), variables, IMAGES)
    x = nn.Conv(6, (3, 3)).apply({"params": variables["params"]["Conv_0"]}, IMAGES)
    np.testing.assert_allclose(stats["BatchNorm_0"]["mean"], x.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(stats["BatchNorm_0"]["var"], x.var((0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1e3, 1e5])
def test_statistics_of_a_batch_may_be_of_any_size(variables, scale):
    params = jax.tree.map(lambda x: scale * x, variables["params"]["Conv_0"])
    variables = variables | {"params": variables["params"] | {"Conv_0": params}}
    stats = batch_statistics(Net(), variables, IMAGES)
    x = nn.Conv(6, (3, 3)).apply({"params": params}, IMAGES)
    np.testing.assert_allclose(stats["BatchNorm_0"]["var"], x.var((0, 1, 2)), rtol=1e-3)


def test_a_network_without_batch_norms_has_none():
    assert batch_statistics(nn.Dense(2), {"params": {}}, IMAGES) == {}
