"""Chains of layers that are built to explode, to vanish and to be healthy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.stats import ortho_group

from gnp.diagnostics.gradient_flow import chain_health, spectral_norms
from gnp.diagnostics.layer_chain import LayerChain, find_layers
from gnp.model import create_model

WIDTH = 12
DEPTH = 10


class Deep(nn.Module):
    """Dense layers of one width and a head."""

    activation: object = staticmethod(lambda x: x)

    @nn.compact
    def __call__(self, inputs, train):
        x = inputs
        for _ in range(DEPTH):
            x = self.activation(nn.Dense(WIDTH)(x))
        return nn.Dense(3, kernel_init=nn.initializers.zeros)(x)


class Block(nn.Module):
    """A residual block."""

    @nn.compact
    def __call__(self, x):
        return x + nn.Dense(WIDTH)(nn.relu(nn.Dense(WIDTH)(x)))


class Row(nn.Module):
    """Two blocks, one after the other."""

    @nn.compact
    def __call__(self, x):
        return Block()(Block()(x))


class Nested(nn.Module):
    """A row between two layers, with dropout, which has no parameters."""

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Dropout(0.5, deterministic=not train)(nn.Dense(WIDTH)(inputs))
        x = Row()(x)
        same = nn.Dense(WIDTH, name="twice")
        x = same(nn.relu(same(x)))
        return nn.Dense(3)(x)


def images(seed=0):
    return jax.random.normal(jax.random.PRNGKey(seed), (4, WIDTH))


def deep_chain(scale, activation=None):
    """Every layer is an orthogonal matrix times `scale`."""
    model = Deep(activation) if activation else Deep()
    variables = model.init(jax.random.PRNGKey(0), images(), train=False)
    params = dict(variables["params"])
    for number in range(DEPTH):
        kernel = scale * ortho_group.rvs(WIDTH, random_state=number)
        params[f"Dense_{number}"] = {
            "kernel": jnp.asarray(kernel, jnp.float32),
            "bias": jnp.zeros(WIDTH),
        }
    return LayerChain.create(model, {"params": params}, images())


@pytest.mark.parametrize(
    ("scale", "verdict", "remedy"),
    [
        (3.0, "exploding", "a smaller gradient_clipping"),
        (0.3, "vanishing", "a model with shortcuts, ReLU"),
        (1.0, "healthy", "a factor of 1 over 10 layers"),
    ],
)
def test_linear_layers_have_the_norm_they_were_given(scale, verdict, remedy):
    health = chain_health(deep_chain(scale))
    np.testing.assert_allclose(health.spectral_norms, [scale] * DEPTH + [0], rtol=1e-4)
    expected = scale ** np.arange(DEPTH, -1, -1.0)
    np.testing.assert_allclose(health.gradient_norms, expected, rtol=1e-4)
    assert health.product == pytest.approx(scale**DEPTH, rel=1e-3)
    assert health.gain == pytest.approx(scale**DEPTH, rel=1e-3)
    assert health.verdict == verdict
    assert remedy in health.advice()


def test_sigmoids_make_gradients_vanish():
    """Their slope is a quarter at most."""
    health = chain_health(deep_chain(1.0, activation=nn.sigmoid))
    assert max(health.spectral_norms) < 0.2501
    assert health.verdict == "vanishing"


def test_the_spectral_norm_is_that_of_the_jacobian_of_each_image():
    chain = deep_chain(1.3, activation=nn.tanh)
    found = spectral_norms(chain, 4, jax.random.PRNGKey(1))
    for number in range(4):
        image = chain.inputs[4][0][number]

        def one(x, number=number):
            return chain.after(4, (chain.inputs[4][0].at[number].set(x),))[0][number]

        expected = np.linalg.norm(jax.jacobian(one)(image), ord=2)
        assert found[number] == pytest.approx(expected, rel=2e-2)
        assert found[number] <= expected * (1 + 1e-5)


def test_layers_are_found_in_the_order_of_their_calls():
    model = Nested()
    variables = model.init(jax.random.PRNGKey(0), images(), train=False)
    names = [layer.name for layer in find_layers(model, variables, images())]
    assert names == [
        "Dense_0",
        "Row_0/Block_1",  # made after the other, called before it
        "Row_0/Block_0",
        "twice",
        "twice (call 2)",
        "Dense_1",
    ]
    chain = LayerChain.create(model, variables, images())
    for index, inputs in enumerate(chain.inputs[:-1]):
        np.testing.assert_allclose(
            chain.after(index, inputs)[0], chain.inputs[index + 1][0], rtol=1e-5
        )
    np.testing.assert_allclose(
        chain.inputs[-1][0], model.apply(variables, images(), train=False), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("ResNet18", "Conv_0", 11),
        ("ViT_TI16", "patch_embed", 15),
        ("CaiT_XXS12", "patch_embed", 17),
    ],
)
def test_blocks_of_the_registered_models_are_layers(name, first, count):
    model, images = create_model(name, 10), jnp.zeros((2, 32, 32, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.PRNGKey(0), images, train=False))
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    layers = find_layers(model, variables, images)
    assert (layers[0].name, len(layers)) == (first, count)


def test_gradients_are_those_of_the_whole_way():
    model = Nested()
    variables = model.init(jax.random.PRNGKey(0), images(), train=False)
    chain = LayerChain.create(model, variables, images())
    gradients = chain_health(chain).gradient_norms
    last = len(chain.layers) - 1
    product = 1.0
    for index in reversed(range(last)):
        norms = spectral_norms(chain, index, jax.random.PRNGKey(0))
        product *= float(norms.max())
        assert 0 < gradients[index] <= product * 1.001
