"""How the convolutional models' parameters are drawn."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from gnp.model import create_model

# Models with wide layers and few of them.
FIELDS = {
    "VGG16BN": {"depths": (1, 1), "widths": (32, 48), "dense_width": 400},
    "ResNet18": {"depths": (1, 1), "widths": (32, 48)},
    "ResNet50": {"depths": (1, 1), "widths": (32, 48), "stem": "imagenet"},
    "WideResNet_10_1": {"width": 3},
    "WideResNet_2_96_ShakeShake": {"width": 32, "blocks_per_group": 1},
    "PyramidNetBase": {"pyramid_depth": 11, "pyramid_alpha": 40},
}
CLASSES = 25


@functools.cache
def variables(name):
    model = create_model(name, CLASSES, **FIELDS[name])
    init = jax.jit(functools.partial(model.init, train=False))
    return init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def leaves(name, ending):
    flat = traverse_util.flatten_dict(variables(name)["params"], sep="/")
    return {path: np.asarray(leaf) for path, leaf in flat.items() if path.endswith(ending)}


def is_uniform(values, limit):
    """Whether they fill ±limit and deviate as evenly drawn numbers do."""
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.95 * limit
    np.testing.assert_allclose(values.std(), limit / math.sqrt(3), rtol=0.1)


each = pytest.mark.parametrize("name", FIELDS)


@each
def test_convolutions_are_drawn_from_he_normal_over_the_outputs(name):
    kernels = [k for k in leaves(name, "kernel").values() if k.ndim == 4]
    assert len(kernels) >= 2
    for kernel in kernels:
        height, width, _, outputs = kernel.shape
        deviation = math.sqrt(2 / (height * width * outputs))
        tolerance = 5 / math.sqrt(2 * kernel.size)  # five standard errors
        np.testing.assert_allclose(kernel.std(), deviation, rtol=tolerance)
        assert abs(kernel.mean()) < 5 * deviation / math.sqrt(kernel.size)
    standardized = np.concatenate([k.ravel() / k.std() for k in kernels])
    # A normal distribution has 4.55 % beyond two deviations; one cut off there has none.
    np.testing.assert_allclose((np.abs(standardized) > 2).mean(), 0.0455, rtol=0.2)


@each
def test_biases_norms_and_statistics_start_neutral(name):
    assert all((bias == 0).all() for bias in leaves(name, "bias").values())
    assert all((scale == 1).all() for scale in leaves(name, "scale").values())
    statistics = traverse_util.flatten_dict(variables(name)["batch_stats"])
    for path, values in statistics.items():
        assert (values == {"mean": 0, "var": 1}[path[-1]]).all()


@each
def test_head_is_uniform_by_the_number_of_classes(name):
    dense = [k for k in leaves(name, "kernel").values() if k.shape[-1] == CLASSES]
    assert len(dense) == 1
    is_uniform(dense[0], 1 / math.sqrt(CLASSES))


def test_dense_layers_of_vgg_are_uniform_by_their_width():
    dense = [k for k in leaves("VGG16BN", "kernel").values() if k.shape[-1] == 400]
    assert len(dense) == 2
    for kernel in dense:
        is_uniform(kernel, 1 / math.sqrt(400))


def test_other_seeds_draw_other_parameters():
    model = create_model("WideResNet_10_1", 10)
    init = jax.jit(functools.partial(model.init, train=False))
    first, again, other = (
        init(jax.random.key(seed), jnp.zeros((1, 8, 8, 3)))["params"]["Conv_0"]["kernel"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
