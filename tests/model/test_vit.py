"""Vision transformers: fields, errors, initialization."""

import functools

import jax
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.model import create_model


def params_of(model, shape=(8, 8, 3)):
    init = jax.jit(functools.partial(model.init, train=False))
    return init(jax.random.key(0), np.zeros((1, *shape), np.float32))["params"]


def shapes_of(model, shape):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), np.zeros((1, *shape), np.float32))["params"]


@pytest.mark.parametrize("name", ["ViT_TI16", "ViT_S16", "ViT_B16", "ViT_L16"])
@pytest.mark.parametrize(("classes", "side"), [(10, 4), (100, 4), (1000, 16)])
def test_usual_patch_sizes(name, classes, side):
    params = shapes_of(create_model(name, classes), (64, 64, 3))
    assert params["patch_embed"]["kernel"].shape[:2] == (side, side)


@pytest.mark.parametrize("size", [8, (8, 8), [8, 8]])
def test_patch_size_of_the_user_goes_before(size):
    params = shapes_of(create_model("ViT_L16", 10, patches={"size": size}), (64, 64, 3))
    assert params["patch_embed"]["kernel"].shape[:2] == (8, 8)


def test_fields_of_a_named_model_can_be_changed_one_by_one():
    model = create_model(
        "ViT_Micro", 10, hidden_size=48, transformer={"num_layers": 3}, representation_size=20
    )
    params = shapes_of(model, (8, 8, 1))
    assert params["blocks"]["2"]["mlp"]["fc1"]["kernel"].shape == (48, 64)
    assert params["head"]["kernel"].shape == (20, 10)


def test_bare_model_equals_the_named_one():
    bare = create_model(
        "ViTBase",
        10,
        patches={"size": 4},
        hidden_size=192,
        transformer={"mlp_dim": 768, "num_heads": 3, "num_layers": 12},
    )
    assert bare == create_model("ViT_TI16", 10)


@pytest.mark.parametrize(
    ("name", "classes", "fields", "message"),
    [
        ("ViT_S16", 37, {}, "ViT_S16 has no usual patch size for 37 classes; set model.model_par"),
        ("ViTBase", 10, {}, "ViTBase has no hidden_size of its own; set model.model_params.hidden"),
        (
            "ViTBase",
            10,
            {"hidden_size": 8, "transformer": {"mlp_dim": 8, "num_heads": 2}},
            "ViTBase has no transformer.num_layers of its own",
        ),
        (
            "ViT_S16",
            10,
            {"transformer": {"heads": 2}},
            "Unknown transformer field of ViT_S16 'heads'; known: num_heads, ",
        ),
        (
            "ViT_S16",
            10,
            {"patches": {"sizes": 2}},
            "Unknown patches field of ViT_S16 'sizes'; known: size",
        ),
        ("ViT_S16", 10, {"patches": 4}, r"ViT_S16 takes patches by name \(size\), not as 4\."),
        ("ViT_S16", 10, {"patch": 2}, "Unknown parameter of model ViT_S16 'patch'; known: patches"),
    ],
)
def test_wrong_fields_are_named(name, classes, fields, message):
    with pytest.raises(UserError, match=f"^{message}"):
        create_model(name, classes, **fields)


@pytest.mark.parametrize("size", [-4, "4", (4, 4, 4)])
def test_a_patch_size_that_is_none(size):
    with pytest.raises(
        UserError,
        match=r"^patches\.size of model ViT_Micro is .*; it must be a",
    ):
        create_model("ViT_Micro", 10, patches={"size": size})


def test_heads_must_divide_the_width():
    model = create_model("ViT_Micro", 10, transformer={"num_heads": 5})
    with pytest.raises(UserError, match="width of 32 cannot be split over 5 attention heads"):
        params_of(model)


def test_initialization():
    model = create_model("ViT_Micro", 10, hidden_size=128, transformer={"mlp_dim": 256})
    params = params_of(model, (64, 64, 3))
    assert not params["head"]["kernel"].any()
    assert not params["head"]["bias"].any()
    assert not params["cls_token"].any()
    np.testing.assert_allclose(np.std(params["pos_embed"]), 0.02, rtol=0.05)
    block = params["blocks"]["0"]
    limit = np.sqrt(6 / (128 + 128))
    for name in ("query", "key", "value", "out"):
        kernel = block["attention"][name]["kernel"]
        np.testing.assert_allclose(np.abs(kernel).max(), limit, rtol=0.01)
        np.testing.assert_allclose(np.std(kernel), limit / np.sqrt(3), rtol=0.05)
        assert not block["attention"][name]["bias"].any()
    for name in ("fc1", "fc2"):
        kernel, bias = block["mlp"][name]["kernel"], block["mlp"][name]["bias"]
        np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (128 + 256)), rtol=0.05)
        np.testing.assert_allclose(np.std(bias), 1e-6, rtol=0.3)
    assert (block["norm1"]["scale"] == 1).all()
