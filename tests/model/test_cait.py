"""Class-attention transformers: layer scale, class attention, initialization."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.model import create_model
from gnp.model.cait import TalkingHeads

SMALL = {"embed_dim": 96, "num_heads": 8, "depth": 1}


def params_of(model):
    init = jax.jit(functools.partial(model.init, train=False))
    return init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]


def test_talking_heads_with_unit_mixes_are_plain_attention():
    x = np.random.default_rng(0).standard_normal((2, 5, 8), np.float32)
    layer = TalkingHeads(num_heads=2)
    params = layer.init(jax.random.key(0), x, train=False)["params"]
    for mix in ("mix_logits", "mix_weights"):
        params[mix] = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    query, key, value = (
        (x @ params["qkv"]["kernel"]).reshape(2, 5, 3, 2, 4).transpose(2, 0, 1, 3, 4)
    )
    plain = jax.nn.dot_product_attention(query, key, value).reshape(2, 5, 8)
    expected = plain @ params["proj"]["kernel"]
    np.testing.assert_allclose(layer.apply({"params": params}, x, False), expected, atol=1e-6)


def test_heads_are_mixed_before_and_after_the_softmax():
    x = np.random.default_rng(0).standard_normal((1, 5, 8), np.float32)
    layer = TalkingHeads(num_heads=2)
    params = layer.init(jax.random.key(0), x, train=False)["params"]
    params["mix_logits"] = {"kernel": jnp.zeros((2, 2)), "bias": jnp.array([1.0, -1.0])}
    params["mix_weights"] = {"kernel": jnp.array([[2.0, 0.0], [1.0, 3.0]]), "bias": jnp.zeros(2)}
    value = (x @ params["qkv"]["kernel"])[..., 16:]
    even = value.mean(axis=1) * np.repeat([3.0, 3.0], 4)  # 2 + 1 to the first head, 3 to the other
    expected = jnp.broadcast_to(even[:, None] @ params["proj"]["kernel"], x.shape)
    np.testing.assert_allclose(layer.apply({"params": params}, x, False), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"), [("CaiT_XXS12", 1e-5), ("CaiT_S24", 1e-5), ("CaiT_M24", 1e-6)]
)
def test_initial_layer_scale(name, value):
    params = params_of(create_model(name, 10, **SMALL))
    for block in (params["blocks"]["0"], params["class_block0"], params["class_block1"]):
        for gamma in ("gamma1", "gamma2"):
            np.testing.assert_array_equal(block[gamma]["gamma"], np.full(96, value, np.float32))


def test_initialization():
    params = params_of(create_model("CaiT_XXS12", 10, **SMALL))
    assert not params["pos_embed"].any()
    assert not params["cls_token"].any()
    kernel = params["blocks"]["0"]["attention"]["qkv"]["kernel"]
    np.testing.assert_allclose(np.std(kernel), np.sqrt(1 / 96), rtol=0.05)
    last = params["head"]
    np.testing.assert_allclose(np.abs(last["kernel"]).max(), 1 / np.sqrt(10), rtol=0.02)
    np.testing.assert_allclose(np.std(last["kernel"]), 1 / np.sqrt(30), rtol=0.05)
    assert not last["bias"].any()
