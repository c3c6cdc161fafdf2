"""Counting parameters, multiply-adds and layers."""

import flax.linen as nn
import numpy as np
import pytest

from gnp.model import create_model
from gnp.model.size import ModelSize, measure


class Small(nn.Module):
    """A convolution and a dense layer with batch norm between them."""

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Conv(8, (3, 3), strides=2)(inputs)
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(5)(x.mean(axis=(1, 2)))


class Repeated(nn.Module):
    """The same dense layer three times."""

    @nn.compact
    def __call__(self, inputs, train):
        x = inputs.reshape(len(inputs), -1)
        blocks = nn.scan(Layer, {"params": 0}, split_rngs={"params": True}, length=3)
        return blocks()(x, None)[0]


class Layer(nn.Module):
    """A dense layer in the form that a scan takes."""

    @nn.compact
    def __call__(self, x, _):
        return nn.Dense(x.shape[-1])(x), None


class Grouped(nn.Module):
    """A convolution whose channels are in two groups."""

    @nn.compact
    def __call__(self, inputs, train):
        return nn.Conv(4, (3, 3), feature_group_count=2, use_bias=False)(inputs)


def test_counts():
    convolution, norm, dense = 3 * 3 * 2 * 8 + 8, 2 * 8, 8 * 5 + 5
    assert measure(Small(), (6, 6, 2)) == ModelSize(
        parameters=convolution + norm + dense,
        multiply_adds=(3 * 3) * (3 * 3 * 2 * 8) + 8 * 5,
        layers=2,
    )


def test_what_a_scan_repeats_counts_each_time():
    assert measure(Repeated(), (2, 2, 1)) == ModelSize(
        parameters=3 * (4 * 4 + 4), multiply_adds=3 * 4 * 4, layers=1
    )


def test_grouped_convolution():
    assert measure(Grouped(), (5, 5, 2)).multiply_adds == 5 * 5 * (3 * 3 * 1 * 4)


@pytest.mark.parametrize(
    ("name", "published"),  # of 224x224 images, in the papers' tables, in billions
    [("ResNet50", 3.8), ("Swin_Tiny_224", 4.5), ("ViT_B16", 17.5)],
)
def test_multiply_adds_are_near_the_published_ones(name, published):
    size = measure(create_model(name, num_outputs=1000), (224, 224, 3))
    np.testing.assert_allclose(size.multiply_adds / 1e9, published, rtol=0.1)
