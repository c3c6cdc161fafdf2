"""The convolutional families at other sizes and types, jitted, mapped, rematerialized."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.model import create_model
from tests.model.golden_models import shapes

pytestmark = pytest.mark.usefixtures("_compile_fast")

# Small members of each family.
SMALL = {
    "VGG16BN": {"depths": (1, 2), "widths": (4, 6), "dense_width": 8},
    "ResNet50": {"depths": (1, 2), "widths": (4, 6)},
    "WideResNet_10_1": {},
    "WideResNet_2_96_ShakeShake": {"width": 4, "blocks_per_group": 1},
    "PyramidNetBase": {"pyramid_depth": 11, "pyramid_alpha": 6},
    "PyramidNet_164_48_ShakeDrop": {"pyramid_depth": 11, "pyramid_alpha": 6},
}
each = pytest.mark.parametrize("name", SMALL)


def create(name, num_outputs=10, **fields):
    return create_model(name, num_outputs, **{**SMALL[name], **fields})


@functools.cache
def variables(name):
    init = functools.partial(create(name).init, train=False)
    return jax.jit(init)(jax.random.key(0), images())


def images(size=8, channels=3, dtype=np.float32):
    shape = (4, size, size, channels)
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def streams(seed=1):
    return {"dropout": jax.random.key(seed), "shake": jax.random.key(seed + 1)}


def loss_and_gradient(model, values, inputs, rngs):
    def loss(params):
        logits, new = model.apply(
            {**values, "params": params}, inputs, train=True, mutable=["batch_stats"], rngs=rngs
        )
        return jnp.square(logits).mean(), new

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(values["params"])


def train_step(model):
    def apply(values, inputs, rngs):
        return model.apply(values, inputs, train=True, mutable=["batch_stats"], rngs=rngs)

    return jax.jit(apply)


def types(tree):
    return {leaf.dtype.name for leaf in jax.tree.leaves(tree)}


def assert_trees_close(first, second):
    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

    jax.tree.map(close, first, second)


@each
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (33, 3), (96, 4)])
def test_other_images_and_classes(name, size, channels):
    model = create(name, num_outputs=7)
    inputs = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    values = shapes(model, size, channels)
    for train in (False, True):
        apply = functools.partial(model.apply, train=train, rngs=streams(), mutable=["batch_stats"])
        assert jax.eval_shape(apply, values, inputs)[0].shape == (2, 7)


def test_vgg_says_that_images_are_too_small():
    with pytest.raises(UserError, match="VGG halves its images 5 times, so 28x28 pixels"):
        shapes(create_model("VGG16", 10), 28)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("WideResNet_28_10", {"depth": 27}, "choose a depth of 6n"),
        ("PyramidNet_164_48", {"pyramid_depth": 165}, "choose a pyramid_depth of 9n"),
        ("ResNet50", {"stem": "image"}, "stem 'image'; known: imagenet"),
    ],
)
def test_fields_that_build_nothing(name, fields, message):
    with pytest.raises(UserError, match=message):
        shapes(create_model(name, 10, **fields), 32)


@pytest.mark.parametrize(
    ("size", "stem", "kernel"),
    [
        (64, "auto", (3, 3, 3, 16)),
        (65, "auto", (7, 7, 3, 64)),
        (64, "imagenet", (7, 7, 3, 64)),
        (65, "cifar", (3, 3, 3, 16)),
    ],
)
def test_stem_of_resnets(size, stem, kernel):
    params = shapes(create("ResNet50", stem=stem), size)["params"]
    assert params["Conv_0"]["kernel"].shape == kernel


@each
def test_same_keys_give_equal_results_and_others_do_not(name):
    values, train = variables(name), train_step(create(name))
    first, again, other = (train(values, images(), streams(seed))[0] for seed in (1, 1, 5))
    np.testing.assert_array_equal(first, again)
    is_random = name in ("VGG16BN", "WideResNet_2_96_ShakeShake", "PyramidNet_164_48_ShakeDrop")
    assert (np.abs(first - other).max() > 1e-6) == is_random


@each
def test_training_updates_the_statistics_and_evaluation_uses_them(name):
    model, values = create(name), variables(name)
    _, new = train_step(model)(values, images(), streams())
    for before, after in zip(*map(jax.tree.leaves, (values["batch_stats"], new)), strict=True):
        assert (before != after).any()
    evaluate = jax.jit(functools.partial(model.apply, train=False))
    assert (evaluate(values, images()) != evaluate({**values, **new}, images())).any()


def test_each_device_takes_its_own_statistics():
    values, train = variables("WideResNet_10_1"), train_step(create("WideResNet_10_1"))
    inputs = np.stack([images(), 3 * images() + 1])
    mapped = jax.pmap(lambda x: train(values, x, streams()), devices=jax.devices()[:2])(inputs)
    for device in range(2):
        alone = train(values, inputs[device], streams())
        assert_trees_close(jax.tree.map(lambda x: x[device], mapped), alone)


@each
def test_rematerialized_blocks_compute_the_same(name):
    plain = loss_and_gradient(create(name), variables(name), images(), streams())
    model = create(name, remat=True)
    assert "remat" in str(
        jax.make_jaxpr(lambda v: model.apply(v, images(), train=False))(variables(name))
    )
    assert_trees_close(plain, loss_and_gradient(model, variables(name), images(), streams()))


@each
def test_computation_in_bfloat16_keeps_parameters_and_gradients_in_float32(name):
    values, model = variables(name), create(name, dtype=jnp.bfloat16)
    logits, new = jax.eval_shape(train_step(model), values, images(), streams())
    results = functools.partial(
        model.apply, train=False, capture_intermediates=True, mutable=["intermediates"]
    )
    _, captured = jax.eval_shape(results, values, images())
    _, gradient = jax.eval_shape(
        functools.partial(loss_and_gradient, model), values, images(), streams()
    )
    assert types((logits, captured)) == {"bfloat16"}
    assert types((shapes(model, 8), new, gradient)) == {"float32"}


def test_bfloat16_computes_the_same_but_for_rounding():
    exact, rounded = (
        create("WideResNet_10_1", dtype=dtype).apply(
            variables("WideResNet_10_1"), images(), train=False
        )
        for dtype in (None, "bfloat16")
    )
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.05 * np.abs(exact).max())


@each
def test_float64_stays_float64(name):
    values = jax.tree.map(lambda x: np.asarray(x, np.float64), variables(name))
    with jax.enable_x64(True):
        results = jax.eval_shape(
            functools.partial(loss_and_gradient, create(name)),
            values,
            images(dtype=np.float64),
            streams(),
        )
    assert types(results) == {"float64"}
