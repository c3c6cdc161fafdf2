"""The configs of the data sets fit their images."""

import importlib

import numpy as np
import pytest

from gnp.ds_pipeline import build, checks, settings
from gnp.ds_pipeline.labelled_data import Examples, LabelledData

SHAPES = {
    "base": ((32, 32, 3), 10),
    "cifar100_wideresnet": ((32, 32, 3), 100),
    "digits": ((8, 8, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "svhn": ((32, 32, 3), 10),
}


@pytest.mark.parametrize("name", SHAPES)
def test_config_fits_its_images(name):
    config = build.filled_in(importlib.import_module(f"config.{name}").get_config())
    shape, classes = SHAPES[name]
    examples = Examples(np.zeros((2, *shape), np.uint8), np.zeros(2, np.int64))
    names = [str(label) for label in range(classes)]
    data = LabelledData(examples, examples, names, (0.5,) * shape[-1], (0.5,) * shape[-1])
    checks.check_classes(data, config.dataset)
    checks.check_shape(data, config)
    assert settings.from_config(config).image_shape == shape


def test_digits_are_not_flipped():
    for name in ("digits", "svhn"):
        config = importlib.import_module(f"config.{name}").get_config()
        assert not settings.from_config(config).augmentation.flips
