"""The augmentation operations against vectors of the published implementation, and at the edges."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gnp.ds_pipeline.augment import operations, policies

GOLDEN = Path(__file__).parents[2] / "golden"
VECTORS = dict(np.load(GOLDEN / "augment_ops.npz"))
GEOMETRIC = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
CASES = sorted(key for key in VECTORS if not key.startswith("input/"))


def apply(name, images, argument, centre=(0.5, 0.5)):
    """One operation on a batch of images, all with the same argument."""
    count = len(images)
    return operations.apply_layers(
        tf.constant(images),
        tf.fill((count, 1), policies.OPERATIONS.index(name)),
        tf.fill((count, 1), np.float32(argument)),
        tf.tile(tf.constant([[centre]]), (count, 1, 1)),
    ).numpy()


@pytest.mark.parametrize("case", CASES)
def test_operation_equals_golden_vector(case):
    name, argument, image = case.split("/")
    images = VECTORS[f"input/{image}"][None]
    result = apply(name, images, 0 if argument == "-" else float(argument))
    differing = (result[0] != VECTORS[case]).any(-1).mean()
    assert differing <= (0.01 if name in GEOMETRIC else 0)


def test_every_operation_but_the_random_one_has_a_golden_vector():
    assert {case.split("/")[0] for case in CASES} == {*policies.OPERATIONS} - {"Cutout"}


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 1), (7, 3, 3), (33, 17, 1)])
@pytest.mark.parametrize("name", policies.OPERATIONS)
def test_gray_tiny_and_odd_sized_images(name, shape):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    result = apply(name, images, 3)
    assert result.shape == images.shape
    assert result.dtype == np.uint8


@pytest.mark.parametrize("name", sorted({*policies.OPERATIONS} - {"Color"}))
def test_gray_is_one_channel_of_a_gray_colour_image(name):
    gray = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 1), np.uint8)
    coloured = apply(name, np.repeat(gray, 3, axis=-1), 3)
    np.testing.assert_array_equal(apply(name, gray, 3), coloured[..., :1])


@pytest.mark.parametrize("name", ["AutoContrast", "Equalize"])
def test_a_single_level_stays(name):
    images = np.full((1, 8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(apply(name, images, 0), images)


def test_cutout_grays_a_square_around_its_centre():
    result = apply("Cutout", np.zeros((1, 20, 30, 3), np.uint8), 4, centre=(0.5, 0.1))
    expected = np.zeros((20, 30, 3), np.uint8)
    expected[6:14, 0:7] = 128
    np.testing.assert_array_equal(result[0], expected)


def test_each_image_of_a_batch_gets_its_own_operations_in_order():
    images = np.stack([VECTORS["input/cifar_bird"], VECTORS["input/cifar_ship"]] * 2)
    names = [["Invert", "Rotate"], ["Equalize", "Invert"], ["Posterize", "Color"], ["Invert", None]]
    arguments = np.float32([[0, 9], [0, 0], [3, 1.72], [0, 0]])
    places = [
        [policies.OPERATIONS.index(n) if n else policies.NO_OPERATION for n in row] for row in names
    ]
    result = operations.apply_layers(
        tf.constant(images), tf.constant(places), tf.constant(arguments), tf.zeros((4, 2, 2))
    ).numpy()
    for image, got, row, strengths in zip(images, result, names, arguments, strict=True):
        for name, strength in zip(row, strengths, strict=True):
            image = apply(name, image[None], strength)[0] if name else image
        np.testing.assert_array_equal(got, image)
