"""Crop, flip, erasing and the batch-level augmentations; the same in numpy, jax and tensorflow."""

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gnp.ds_pipeline import rng
from gnp.ds_pipeline.augment import batch_level, boxes, erasing, geometry, levels


def uniforms(count, width):
    return rng.uniforms((rng.IMAGES, 0, 0), 0, count, width)


def crop_and_flip(xp, images, sampled, padding, flip):
    rows, columns = geometry.pixel_indices(xp, sampled, images.shape[1:3], padding, flip)
    batch = np.arange(len(images))[:, None, None]
    return images[batch, np.asarray(rows)[:, :, None], np.asarray(columns)[:, None, :]]


@given(
    height=st.integers(2, 9), width=st.integers(2, 9), padding=st.integers(0, 1), flip=st.booleans()
)
def test_crop_equals_padding_then_slicing(height, width, padding, flip):
    images = np.random.default_rng(0).integers(0, 256, (16, height, width, 2))
    sampled = uniforms(16, 3)
    result = crop_and_flip(np, images, sampled, padding, flip)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), "reflect")
    for image, (row, column, coin), got in zip(padded, sampled, result, strict=True):
        top, left = int(row * (2 * padding + 1)), int(column * (2 * padding + 1))
        expected = image[top : top + height, left : left + width]
        np.testing.assert_array_equal(got, expected[:, ::-1] if flip and coin < 0.5 else expected)


def test_crop_reaches_every_offset_alike():
    rows, _ = geometry.pixel_indices(np, uniforms(9000, 3), (32, 32), 4, False)
    starts = 4 - rows[:, 4]  # the pixel that lands on row 4, counted from the middle offset
    counts = np.unique(starts, return_counts=True)[1]
    np.testing.assert_allclose(counts, 1000, atol=120)


@pytest.mark.parametrize("xp", [jnp, tf], ids=["jax", "tensorflow"])
def test_libraries_agree(xp):
    generator = np.random.default_rng(0)
    images = generator.normal(size=(6, 12, 10, 3)).astype(np.float32)
    labels = np.eye(6, dtype=np.float32)
    as_array = jnp.asarray if xp is jnp else tf.constant
    sampled = uniforms(6, 5)
    for ours, theirs in zip(
        geometry.pixel_indices(np, sampled, (12, 10), 2, True),
        geometry.pixel_indices(xp, as_array(sampled), (12, 10), 2, True),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, np.asarray(theirs))
    erased = erasing.sample(sampled, 1.0, (12, 10))
    np.testing.assert_array_equal(
        erasing.apply(np, images, erased), erasing.apply(xp, as_array(images), as_array(erased))
    )
    for name in ("mixcut", "cutmix"):
        step = draw_step(name, count=6, shape=(12, 10, 3))
        arguments = (images, labels, images[::-1].copy(), labels[::-1].copy())
        ours = batch_level.apply(np, *arguments, step)
        theirs = batch_level.apply(
            xp, *map(as_array, arguments), {k: as_array(v) for k, v in step.items()}
        )
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, np.asarray(other), atol=1e-6)


def draw_step(name, seed=0, count=4, shape=(32, 32, 3), **strengths):
    strengths = {"mixup_alpha": 1.0, "cutout_length": 16} | strengths
    generator = np.random.default_rng(seed)
    return batch_level.sample(levels.BATCH_LEVEL[name], generator, count, shape, **strengths)


def apply(name, seed=0):
    images = np.stack([np.full((32, 32, 3), i + 1.0, np.float32) for i in range(4)])
    labels = np.eye(4, dtype=np.float32)
    step = draw_step(name, seed)
    partners = images[::-1], labels[::-1]
    return step, *batch_level.apply(np, images, labels, *partners, step)


@pytest.mark.parametrize("seed", range(5))
def test_mixup_mixes_with_the_reversed_batch(seed):
    step, images, labels = apply("mixup", seed)
    lam = step["lam"][0]
    assert 0.5 <= lam <= 1
    np.testing.assert_allclose(images[0], lam * 1 + (1 - lam) * 4, rtol=1e-6)
    np.testing.assert_allclose(labels[0], [lam, 0, 0, 1 - lam], rtol=1e-6)


def test_mixup_weight_is_the_larger_part_of_a_beta_draw():
    weights = [draw_step("mixup", seed)["lam"][0] for seed in range(2000)]
    np.testing.assert_allclose(np.mean(weights), 0.75, atol=0.01)
    sharp = [draw_step("mixup", seed, mixup_alpha=0.1)["lam"][0] for seed in range(500)]
    assert np.mean(sharp) > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_labels_follow_the_pasted_area(seed):
    _, images, labels = apply("cutmix", seed)
    np.testing.assert_allclose((images[0] == 1).mean(), labels[0, 0], rtol=1e-6)
    np.testing.assert_allclose((images[0] == 4).mean(), labels[0, 3], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_cutout_blanks_one_square_of_the_batch(seed):
    _, images, labels = apply("cutout", seed)
    blank = images == 0
    assert (blank == blank[:1]).all()
    assert 8 * 8 <= blank[0, :, :, 0].sum() <= 16 * 16
    np.testing.assert_array_equal(labels, np.eye(4))
    assert (
        max(apply("cutout", s)[1][0, :, :, 0].ravel().tolist().count(0) for s in range(20)) == 256
    )


@pytest.mark.parametrize("length", [1, 3, 16])
def test_cutout_blanks_a_square_of_its_length(length):
    holes = [draw_step("cutout", seed, cutout_length=length)["hole"][0] for seed in range(100)]
    whole = [hole for hole in holes if hole.min() > 0 and hole.max() < 32]
    assert whole
    for top, bottom, left, right in whole:
        assert (bottom - top, right - left) == (length, length)


def test_mixcut_is_both():
    step, images, labels = apply("mixcut")
    assert {"lam", "hole"} <= set(step)
    assert (images == 0).any()
    assert labels[0, 3] > 0


def test_nothing_is_sampled_for_none():
    assert draw_step("none") == {}


def test_erasing_strikes_by_probability_within_the_image():
    erased = erasing.sample(uniforms(20_000, 5), 0.25, (32, 24))
    heights, widths = erased[:, 1] - erased[:, 0], erased[:, 3] - erased[:, 2]
    np.testing.assert_allclose((heights * widths > 0).mean(), 0.25, atol=0.02)
    assert erased.min() >= 0
    assert erased[:, 1].max() == 32
    assert erased[:, 3].max() == 24
    shares = (heights * widths)[heights > 0] / (32 * 24)
    assert 0.01 < shares.min() < shares.max() < 0.36


def test_inside():
    mask = boxes.inside(np, np.int32([[1, 3, 0, 2]]), (1, 4, 5, 3))
    expected = np.zeros((4, 5))
    expected[1:3, 0:2] = 1
    np.testing.assert_array_equal(mask[0, :, :, 0], expected)
