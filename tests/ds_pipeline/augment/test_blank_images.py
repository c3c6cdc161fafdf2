"""No augmentation leaves nothing of an image without a word."""

import numpy as np
import pytest

from config import base
from config import digits as digits_config
from gnp.ds_pipeline import rng, settings
from gnp.ds_pipeline.augment import erasing, operations, policies
from gnp.ds_pipeline.build import build_source
from gnp.errors import UserError


def digits(**dataset):
    config = digits_config.get_config()
    config.dataset.update(dataset)
    return config


@pytest.mark.parametrize("level", ["cutout", "mixcut"])
@pytest.mark.parametrize("length", [-1, 0, 8, 16])
def test_a_hole_as_large_as_the_image_is_refused(level, length):
    with pytest.raises(UserError, match=rf"cutout_length is {length}; choose 1 to 7 for images of"):
        build_source(digits(batch_level_augmentations=level, cutout_length=length))


@pytest.mark.parametrize("level", ["cutout", "mixcut"])
def test_the_largest_hole_leaves_something(level):
    source = build_source(digits(batch_level_augmentations=level, cutout_length=7))
    for batch in source.train_batches(0):
        assert (batch["image"].std((1, 2, 3)) > 0).all()


def test_a_length_without_cutout_does_not_matter():
    assert build_source(digits(cutout_length=16)).num_train_images == 1437


@pytest.mark.parametrize("size", range(2, 9))
def test_erasing_leaves_something_of_every_image_but_a_pixel(size):
    erased = erasing.sample(rng.uniforms((rng.IMAGES, 0, 0), 0, 50_000, 5), 1.0, (size, size))
    area = (erased[:, 1] - erased[:, 0]) * (erased[:, 3] - erased[:, 2])
    assert area.max() < size**2


def test_erasing_of_single_pixels_is_refused():
    config = base.get_config()
    config.dataset.update(dataset_name="fake", image_size=1, image_level_augmentations="none")
    assert settings.from_config(config).image_shape[:2] == (1, 1)
    config.dataset.random_erasing = 0.5
    with pytest.raises(UserError, match="would erase whole images of 1 pixel"):
        settings.from_config(config)


def blank_share(policy, size):
    """Applies the policy to noise, and counts the images that become one colour."""
    count = 4000
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 1), np.uint8)
    uniforms = rng.uniforms((rng.IMAGES, 0, 0), 0, count, policy.layers * 5)
    chosen = policies.choose(policy, uniforms)
    result = operations.apply_layers(
        images, chosen["operations"], chosen["arguments"], chosen["centres"]
    )
    return (np.asarray(result).reshape(count, -1).std(1) == 0).mean()


@pytest.mark.parametrize(
    ("policy", "size"),
    [
        (policies.AutoAugment("cifar"), 32),
        (policies.RandAugment(1, 9), 32),
        (policies.RandAugment(2, 9), 96),
        (policies.TrivialAugment(), 16),
    ],
)
def test_the_share_of_blank_images_is_that_of_the_operations(policy, size):
    """At least: a weaker cutout or two shifts may also leave nothing."""
    assert policies.share_blanked(policy, size) <= blank_share(policy, size) + 0.02
    if size > 16:
        assert policies.share_blanked(policy, size) >= blank_share(policy, size) - 0.08


@pytest.mark.parametrize(
    ("names", "share"),
    [
        ({"image_level_augmentations": "autoaugment"}, 12),
        ({"image_level_augmentations": "randaugment"}, 34),
        ({"image_level_augmentations": "randaugment", "randaug_magnitude": 3}, None),
        ({"image_level_augmentations": "trivialaugment"}, None),
        ({"image_level_augmentations": "basic"}, None),
    ],
)
def test_policies_that_blank_images_are_said_to(names, share, caplog):
    config = base.get_config()
    config.dataset.update(names)
    settings.from_config(config)
    if share is None:
        assert not caplog.text
    else:
        assert f"leaves nothing of about {share} % of the training images" in caplog.text
