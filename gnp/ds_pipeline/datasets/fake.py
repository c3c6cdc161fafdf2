"""Synthetic images of any shape, for debugging and benchmarks."""

import numpy as np

from gnp.ds_pipeline import rng
from gnp.ds_pipeline.labelled_data import Examples, LabelledData
from gnp.errors import unknown_name

NUM_TRAIN = 1024
NUM_TEST = 256

_KINDS = ("random", "memorizable")
_SEED = 0


def load(config) -> LabelledData:
    """Images of dataset.fake_kind.

    `random` is noise with random labels: no model predicts the test labels better than chance.
    `memorizable` is noise around one pattern per class, which a model can classify without error.
    """
    dataset = config.dataset
    if dataset.fake_kind not in _KINDS:
        raise unknown_name("dataset.fake_kind", dataset.fake_kind, _KINDS)
    generator = rng.generator(rng.SPLIT, _SEED)
    shape = (dataset.image_size, dataset.image_size, dataset.num_channels)
    patterns = generator.integers(0, 256, (dataset.num_classes, *shape), np.uint8)

    def make(count):
        labels = generator.integers(0, dataset.num_classes, count)
        images = generator.integers(0, 256, (count, *shape), np.uint8)
        if dataset.fake_kind == "memorizable":
            images = patterns[labels] // 4 * 3 + images // 4
        return Examples(images, labels)

    return LabelledData(
        train=make(_with_held_out(dataset.num_train_images or NUM_TRAIN, config.use_test_set)),
        test=make(NUM_TEST),
        class_names=[f"class {label}" for label in range(dataset.num_classes)],
        mean=(0.5,) * dataset.num_channels,
        std=(0.25,) * dataset.num_channels,
    )


def num_classes(config) -> int:
    """Any number of classes can be made; unless it is set, ten."""
    del config
    return 10


def num_channels(config) -> int:
    """Any images can be made; unless it is set, RGB."""
    del config
    return 3


def _with_held_out(count, use_test_set):
    """Number of images, so that `count` remain after a tenth is held out, if it is."""
    return count if use_test_set else -(-count * 10 // 9)
