"""What holds for every transformer family, on members shrunk by their fields."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.model import create_model
from gnp.model.scanned_blocks import stack_params, unstack_params
from gnp.model.transformer_layers import DropPath

SMALL = {
    "ViT_Micro": {"patches": {"size": 4}},
    "Swin_Tiny": {
        "embed_dim": 8,
        "depths": (2, 1),
        "num_heads": (2, 4),
        "patch_size": 2,
        "window_size": 2,
    },
    "CaiT_XXS12": {"embed_dim": 16, "num_heads": 2, "depth": 2, "class_depth": 1},
}
SCANNED = [name for name in SMALL if not name.startswith("Swin")]
RANDOM = {
    "ViT_Micro": {"transformer": {"dropout_rate": 0.3}, "drop_path": 0.5},
    "Swin_Tiny": {"dropout_rate": 0.3, "drop_path": 0.5},
    "CaiT_XXS12": {"dropout_rate": 0.3, "drop_path": 0.5, "layer_scale": 1.0},
}
# Programs as small as these take far longer to optimize than to run.
jit = functools.partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)
key = functools.partial(jax.random.key, impl="rbg")  # compiles faster than the default
RNGS = {"dropout": key(1), "drop_path": key(2)}


def small(name, num_outputs=10, **fields):
    return create_model(name, num_outputs, **{**SMALL[name], **fields})


def images(height=8, width=8, channels=1):
    return np.random.default_rng(0).standard_normal((2, height, width, channels), np.float32)


def noisy_params(model, inputs):
    """Parameters where nothing is zero, so that every one of them matters."""
    init = jit(functools.partial(model.init, train=False))
    params = init(jax.random.key(0), inputs)["params"]
    draws = np.random.default_rng(3)
    return jax.tree.map(lambda x: x + 0.1 * draws.standard_normal(x.shape, np.float32), params)


def logits(model, params):
    return jit(functools.partial(model.apply, train=False))({"params": params}, images())


def gradient_fn(model, inputs, **kwargs):
    def loss(params):
        return jnp.sum(model.apply({"params": params}, inputs, **kwargs) ** 2)

    return jax.grad(loss)


def assert_trees_close(actual, expected):
    largest = max(np.abs(x).max() for x in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=2e-6 * largest),
        actual,
        expected,
    )


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("shape", "classes"), [((8, 8, 1), 10), ((16, 16, 3), 7), ((24, 16, 4), 3), ((40, 40, 3), 1000)]
)
def test_other_sizes_channels_and_classes(name, shape, classes):
    model = small(name, classes)
    result, variables = jax.eval_shape(
        functools.partial(model.init_with_output, train=False), jax.random.key(0), images(*shape)
    )
    assert result.shape == (2, classes)
    assert result.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", SMALL)
def test_patches_that_do_not_tile_the_image_are_an_error(name):
    with pytest.raises(UserError, match="9x8 pixels cannot be cut into patches"):
        small(name).init(jax.random.key(0), images(9, 8), train=False)


@pytest.mark.parametrize("name", SMALL)
def test_same_keys_same_result_other_keys_another(name):
    model = small(name, **RANDOM[name])
    params = noisy_params(model, images())
    apply = jit(functools.partial(model.apply, {"params": params}, train=True))
    once, again = apply(images(), rngs=RNGS), apply(images(), rngs=RNGS)
    np.testing.assert_array_equal(once, again)
    for stream in RNGS:
        other = apply(images(), rngs={**RNGS, stream: key(7)})
        assert np.abs(once - other).max() > 1e-3


@pytest.mark.parametrize("name", SMALL)
def test_computation_types(name):
    params = noisy_params(small(name), images())
    expected = logits(small(name), params)
    half = logits(small(name, dtype=jnp.bfloat16), params)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half, expected, atol=0.05 * np.abs(expected).max())
    narrow = jax.make_jaxpr(functools.partial(small(name, dtype=jnp.bfloat16).apply, train=False))
    assert "f32" in str(narrow({"params": params}, images()))
    assert not re.search(r"bf16\[[\d,]*\] = exp", str(narrow({"params": params}, images())))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
        jaxpr = jax.make_jaxpr(functools.partial(small(name).apply, train=True))(
            {"params": wide}, images().astype(np.float64), rngs=RNGS
        )
        assert jaxpr.out_avals[0].dtype == jnp.float64
        assert "f32[" not in str(jaxpr)  # nothing is computed in a narrower type


@pytest.mark.parametrize("name", SMALL)
def test_pmap_equals_jit(name):
    model = small(name)
    params = noisy_params(model, images())
    apply = functools.partial(model.apply, train=False)
    expected = jax.jit(apply)({"params": params}, images())
    split = jax.pmap(apply, in_axes=(None, 0), devices=jax.devices()[:2])(
        {"params": params}, images()[:, None]
    )
    np.testing.assert_allclose(split[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SCANNED)
def test_scanned_blocks_equal_unrolled_ones(name):
    unrolled, scanned = small(name), small(name, scan_layers=True)
    params = noisy_params(unrolled, images())
    stacked = stack_params(params)
    expected = jax.eval_shape(
        functools.partial(scanned.init, train=False), jax.random.key(0), images()
    )["params"]
    assert jax.tree.map(jnp.shape, stacked) == jax.tree.map(jnp.shape, expected)
    jax.tree.map(np.testing.assert_array_equal, unstack_params(stacked), params)
    np.testing.assert_allclose(
        logits(scanned, stacked), logits(unrolled, params), rtol=1e-5, atol=1e-5
    )
    assert_trees_close(
        unstack_params(jit(gradient_fn(scanned, images(), train=False))(stacked)),
        jit(gradient_fn(unrolled, images(), train=False))(params),
    )


@pytest.mark.parametrize("name", SCANNED)
def test_scanned_program_does_not_grow_with_depth(name):
    def lines(depth):
        fields = {"transformer": {"num_layers": depth}} if name == "ViT_Micro" else {"depth": depth}
        model = small(name, scan_layers=True, **fields)
        params = jax.eval_shape(
            functools.partial(model.init, train=False), jax.random.key(0), images()
        )["params"]
        lowered = jax.jit(gradient_fn(model, images(), train=True, rngs=RNGS)).lower(params)
        return len(lowered.as_text().splitlines())

    assert lines(24) == lines(3)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ViT_Micro", {}),
        ("ViT_Micro", {"scan_layers": True}),
        ("Swin_Tiny", {}),
        pytest.param("CaiT_XXS12", {}, marks=pytest.mark.slow),
        pytest.param("CaiT_XXS12", {"scan_layers": True}, marks=pytest.mark.slow),
    ],
)
def test_rematerialization_changes_nothing(name, fields):
    kept = small(name, **RANDOM[name], **fields)
    again = small(name, **RANDOM[name], **fields, remat=True)
    params = noisy_params(kept, images())
    expected = gradient_fn(kept, images(), train=True, rngs=RNGS)
    actual = gradient_fn(again, images(), train=True, rngs=RNGS)
    assert_trees_close(jit(actual)(params), jit(expected)(params))
    assert "remat" in str(jax.make_jaxpr(actual)(params))
    assert "remat" not in str(jax.make_jaxpr(expected)(params))


def test_random_depth_keeps_the_mean():
    x = jnp.ones((4000, 2, 3))
    y = DropPath().apply({}, x, 0.25, True, rngs={"drop_path": jax.random.key(0)})
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert (np.ptp(y, axis=(1, 2)) == 0).all()
    np.testing.assert_allclose(y.mean(), 1, atol=0.03)
    np.testing.assert_array_equal(DropPath().apply({}, x, 0.25, False), x)


@pytest.mark.parametrize("name", SMALL)
def test_no_random_depth_draws_nothing(name):
    model = small(name, drop_path=0)  # a whole number, as a command line gives it
    rngs = {"dropout": key(1)}
    params = jax.eval_shape(functools.partial(model.init, train=False), key(0), images())
    jax.eval_shape(functools.partial(model.apply, train=True, rngs=rngs), params, images())


@pytest.mark.parametrize("name", ["ViT_Micro", "Swin_Tiny"])
def test_the_gradient_in_bfloat16_multiplies_bfloat16_alone(name):
    model = small(name, dtype=jnp.bfloat16)
    params = noisy_params(model, images())
    program = jit(gradient_fn(model, images(), train=True, rngs=RNGS)).lower(params).as_text()
    products = re.findall(r"stablehlo\.dot_general.*: \((.+?)\) ->", program)
    assert len(products) > 20
    assert all(len(re.findall("xbf16>", factors)) == 2 for factors in products)
