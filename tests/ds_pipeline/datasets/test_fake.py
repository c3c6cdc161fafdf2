"""Made-up images."""

import numpy as np
import pytest

from config import base
from gnp.ds_pipeline.build import build_source
from gnp.errors import UserError


def make_source(**dataset):
    config = base.get_config()
    config.dataset.update(
        dataset_name="fake", image_level_augmentations="none", image_size=12, num_classes=4
    )
    config.dataset.update(dataset)
    return build_source(config)


def images_and_labels(batches):
    batches = list(batches)
    images = np.concatenate([batch["image"] for batch in batches])
    return images, np.concatenate([batch["label"] for batch in batches]).argmax(1)


@pytest.mark.parametrize(("kind", "learnable"), [("random", False), ("memorizable", True)])
def test_only_memorizable_images_tell_their_class(kind, learnable):
    source = make_source(fake_kind=kind)
    images, labels = images_and_labels(source.train_batches(0))
    centres = np.stack([images[labels == label].mean(0) for label in range(4)])
    test_images, test_labels = images_and_labels(source.eval_batches())
    distances = ((test_images[:, None] - centres) ** 2).sum((2, 3, 4))
    accuracy = (distances.argmin(1) == test_labels).mean()
    assert accuracy > 0.99 if learnable else accuracy < 0.4


def test_any_shape_and_number():
    source = make_source(image_size=7, num_channels=1, num_train_images=300)
    assert source.num_train_images == 300
    assert next(source.train_batches(0))["image"].shape == (256, 7, 7, 1)


@pytest.mark.parametrize("count", [90, 100, 301])
def test_a_number_of_images_is_left_when_some_are_held_out(count):
    config = base.get_config()
    config.use_test_set = False
    config.batch_size = 16
    config.dataset.update(
        dataset_name="fake",
        image_level_augmentations="none",
        image_size=4,
        num_classes=4,
        num_train_images=count,
    )
    source = build_source(config)
    assert source.num_train_images == count
    assert source.num_eval_images >= count // 10


def test_unknown_kind():
    with pytest.raises(UserError, match="fake_kind 'randm'; known: random"):
        make_source(fake_kind="randm")
