"""Photos in class folders, cropped while they are decoded."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from config import base
from gnp.ds_pipeline import rng
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.loaders import tf_file_source
from gnp.errors import UserError

GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "imagenet_eval.npz"))


def make_config(root, **dataset):
    config = base.get_config()
    config.imagenet_train_dir = str(root / "train")
    config.imagenet_val_dir = str(root / "val")
    config.batch_size = 4
    config.dataset.update(
        {"dataset_name": "imagenet", "num_classes": 2, "image_size": 32} | dataset
    )
    return config


@pytest.fixture
def root(tmp_path):
    """Photos of several sizes and encodings, dark and light ones."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 3)):
        for number in range(count):
            for name, level in (("n01 dark", 60), ("n02 hell ä", 190)):
                folder = tmp_path / part / name
                folder.mkdir(parents=True, exist_ok=True)
                pixels = generator.normal(level, 5, (40 + 30 * number, 70, 3)).clip(0, 255)
                image = Image.fromarray(pixels.astype(np.uint8))
                path = folder / f"{number}.JPEG"
                if number == 1:
                    image.save(path, "PNG")
                elif number == 2:
                    image.convert("CMYK").save(path, "JPEG")
                else:
                    image.convert("L" if number == 3 else "RGB").save(path, "JPEG")
    return tmp_path


@pytest.mark.parametrize("key", sorted(GOLDEN))
def test_evaluation_equals_golden_photo(real_images, key, tmp_path):
    synset, size = key.split("/")
    photos = real_images / "imagenet_mini" / "train"
    other = next(name for name in sorted(os.listdir(photos)) if name != synset)
    for part in ("train", "val"):
        shutil.copytree(photos / synset, tmp_path / part / synset)
        shutil.copytree(photos / other, tmp_path / part / other)
    config = make_config(tmp_path, image_size=int(size), antialias=False)
    config.batch_size = 1
    source = build_source(config)
    label = source.class_names.index(synset)
    (image,) = (b["image"][0] for b in source.eval_batches() if b["label"][0, label] == 1)
    np.testing.assert_allclose(image, GOLDEN[key], atol=0.02)


@pytest.mark.parametrize("size", [32, 64, 224, 500])
def test_photos_are_resized_as_pillow_does(size):
    """But for rounding and clipping between the two passes of Pillow."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (30, 40, 3), np.uint8))
    photo = np.asarray(coarse.resize((400, 300), Image.Resampling.NEAREST), np.float64)
    photo = (photo + generator.normal(0, 20, photo.shape)).clip(0, 255).astype(np.uint8)
    expected = Image.fromarray(photo).resize((size, size), Image.Resampling.BICUBIC)
    found = tf_file_source.resized(tf.constant(photo), size, antialias=True).numpy()
    difference = np.abs(found - np.asarray(expected, np.float32))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) <= 1.5
    aliased = tf_file_source.resized(tf.constant(photo), size, antialias=False).numpy()
    assert np.abs(aliased - np.asarray(expected, np.float32)).mean() > 5


def test_a_fine_pattern_becomes_gray_unless_aliased(tmp_path):
    """Every second column is white: far finer than the pixels of the result."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(stripes).save(tmp_path / part / name / "1.png")
    for level in ("none", "crop"):
        spread = {}
        for antialias in (True, False):
            config = make_config(
                tmp_path, antialias=antialias, image_level_augmentations=level, image_size=48
            )
            config.batch_size = 2
            source = build_source(config)
            batches = source.train_batches(0) if level == "crop" else source.eval_batches()
            spread[antialias] = next(batches)["image"].std()
        assert spread[True] < 0.4
        assert spread[False] > 1


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_photos_are_turned_upright(tmp_path, orientation):
    """A red left half, as a JPEG (decoded by tensorflow if it is upright) and as a PNG."""
    pixels = np.full((40, 60, 3), (0, 0, 255), np.uint8)
    pixels[:, :30] = (255, 0, 0)
    turns = {1: 0, 6: 1, 8: -1}[orientation]
    stored = np.rot90(pixels, turns)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for part in ("train", "val"):
        for name, image_format in (("a", "JPEG"), ("b", "PNG")):
            (tmp_path / part / name).mkdir(parents=True)
            path = tmp_path / part / name / "1"
            Image.fromarray(stored).save(path, image_format, exif=exif)
    config = make_config(tmp_path, image_size=16)
    config.batch_size = 2
    for image in next(build_source(config).eval_batches())["image"]:
        assert (image[:, :6, 0] > 1).all()
        assert (image[:, 10:, 0] < -1).all()


@pytest.mark.parametrize("name", ["none", "crop", "basic", "autoaugment", "randaugment"])
def test_training_batches(root, name):
    source = build_source(make_config(root, image_level_augmentations=name))
    assert (source.num_train_images, source.num_eval_images) == (12, 6)
    batches = list(source.train_batches(0))
    assert [batch["image"].shape for batch in batches] == [(4, 32, 32, 3)] * 3
    labels = np.concatenate([batch["label"] for batch in batches])
    np.testing.assert_array_equal(labels.sum(0), [6, 6])
    if name in ("none", "crop", "basic"):
        brightness = np.concatenate([batch["image"].mean((1, 2, 3)) for batch in batches])
        np.testing.assert_array_equal(brightness > 0, labels[:, 1] == 1)


def test_evaluation_counts_every_photo_once(root):
    batches = list(build_source(make_config(root)).eval_batches())
    assert [batch["mask"].sum() for batch in batches] == [4, 2]


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_hosts_and_resuming_do_not_matter(root, threads):
    config = make_config(
        root, image_level_augmentations="randaugment", batch_level_augmentations="mixcut"
    )
    config.dataset.random_erasing = 0.5
    whole = list(build_source(config).train_batches(1))[1:]
    config.dataset.num_parallel_calls = threads
    shares = [
        list(build_source(config, process_index=p, process_count=2).train_batches(1, first_step=1))
        for p in range(2)
    ]
    for batch, first, second in zip(whole, *shares, strict=True):
        for key in ("image", "label"):
            np.testing.assert_allclose(
                batch[key], np.concatenate([first[key], second[key]]), atol=1e-6
            )


def test_imagenet_mixup_alpha_turns_on_mixup(root):
    labels = next(build_source(make_config(root)).train_batches(0))["label"]
    assert set(labels.ravel().tolist()) == {0.0, 1.0}
    config = make_config(root, imagenet_mixup_alpha=0.4)
    mixed = np.concatenate([b["label"] for b in build_source(config).train_batches(0)])
    assert len(np.unique(mixed)) > 2


def test_random_windows_fill_their_ranges():
    numbers = rng.uniforms((rng.IMAGES, 0, 0), 0, 300, 40).reshape(300, 10, 4)
    windows = np.array(
        [
            [int(x) for x in tf_file_source.random_window(300, 400, tf.constant(n), 224)]
            for n in numbers
        ]
    )
    top, left, height, width = windows.T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 300
    assert (left + width).max() <= 400
    area = height * width / (300 * 400)
    assert 0.075 < area.min() < 0.15
    assert 0.85 < area.max() <= 1
    assert 0.74 < (width / height).min() < 0.8
    assert 1.25 < (width / height).max() < 1.35


def test_a_shape_that_nothing_fits_gets_the_centre():
    numbers = tf.ones((10, 4)) * 0.9
    window = [int(x) for x in tf_file_source.random_window(10, 1000, numbers, 224)]
    assert window == [int(x) for x in tf_file_source.centre_window(10, 1000, 224)]


def test_a_broken_photo_is_named_in_the_first_pass(root):
    victim = root / "train" / "n01 dark" / "0.JPEG"
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(UserError, match=r"n01 dark/0\.JPEG cannot be used"):
        list(build_source(make_config(root)).train_batches(0))


@pytest.mark.parametrize("field", ["imagenet_train_dir", "imagenet_val_dir"])
def test_missing_folders_name_the_field(root, field):
    config = make_config(root)
    for value in ("", "/no/such/folder"):
        config[field] = value
        with pytest.raises(UserError, match=field):
            build_source(config)
