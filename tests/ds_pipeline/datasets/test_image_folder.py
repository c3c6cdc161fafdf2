"""Class folders of JPEG and PNG files."""

import numpy as np
import pytest
from PIL import Image

from config import cifar10_jpeg_small
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.images import in_memory
from gnp.errors import UserError


def make_config(root, **dataset):
    config = cifar10_jpeg_small.get_config()
    config.batch_size = 4
    config.dataset.update(
        data_dir=str(root), image_size=16, num_classes=2, num_train_images=0, **dataset
    )
    return config


@pytest.fixture
def root(tmp_path):
    """Two classes with 8 training and 3 test images of several sizes and formats."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for number in range(count):
            for name, level in (("dark", 60), ("light", 190)):
                folder = tmp_path / part / name
                folder.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(rng.normal(level, 20, (16 + number, 20, 3)), 0, 255)
                suffix = ".png" if number % 2 else ".JPG"
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"image {number}{suffix}")
    return tmp_path


def test_batches(root):
    source = build_source(make_config(root))
    assert (source.num_train_images, source.num_eval_images) == (16, 6)
    assert source.class_names == ["dark", "light"]
    batches = list(source.train_batches(0))
    assert len(batches) == 4
    for batch in batches:
        assert batch["image"].shape == (4, 16, 16, 3)
        brightness = batch["image"].mean((1, 2, 3))
        np.testing.assert_array_equal(brightness > 0, batch["label"][:, 1] == 1)


@pytest.mark.parametrize("memory_limit_gb", [1.0, 0.0])
def test_images_are_normalized_as_asked(root, memory_limit_gb):
    config = make_config(root, memory_limit_gb=memory_limit_gb)
    own = build_source(config)
    other = build_source(config, normalization=([0.25, 0.5, 0.5], [0.5, 0.5, 0.125]))
    assert (other.mean, other.std) == ((0.25, 0.5, 0.5), (0.5, 0.5, 0.125))
    (ours, theirs) = (next(source.eval_batches())["image"] for source in (own, other))
    pixels = ours * np.array(own.std) + own.mean
    np.testing.assert_allclose(theirs * np.array(other.std) + other.mean, pixels, atol=1e-5)


def test_a_channel_without_spread_is_not_blown_up():
    for level in range(256):
        mean, std = in_memory.statistics(np.full((7, 8, 8, 1), level, np.uint8))
        assert std == (1.0,)
        np.testing.assert_allclose(mean, level / 255)


def test_evaluation_counts_every_file_once(root):
    batches = list(build_source(make_config(root)).eval_batches())
    assert [batch["mask"].sum() for batch in batches] == [4, 2]
    labels = np.concatenate([b["label"][b["mask"] == 1] for b in batches])
    np.testing.assert_array_equal(labels.sum(0), [3, 3])


def test_same_batches_again_and_other_ones_in_the_next_epoch(root):
    source = build_source(make_config(root))
    first, second, other = (
        np.concatenate([b["image"] for b in source.train_batches(epoch)]) for epoch in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_resuming_and_processes_agree_with_the_whole(root):
    config = make_config(root, batch_level_augmentations="mixup")
    whole = list(build_source(config).train_batches(0))[2:]
    shares = [
        list(build_source(config, process_index=p, process_count=2).train_batches(0, first_step=2))
        for p in range(2)
    ]
    for batch, first, second in zip(whole, *shares, strict=True):
        for key in ("image", "label"):
            np.testing.assert_allclose(
                batch[key], np.concatenate([first[key], second[key]]), atol=1e-6
            )


def test_gray_images(root):
    batch = next(build_source(make_config(root, num_channels=1)).train_batches(0))
    assert batch["image"].shape == (4, 16, 16, 1)


@pytest.mark.parametrize("data_dir", ["", "/no/such/folder"])
def test_missing_folder_names_the_field(data_dir):
    with pytest.raises(UserError, match=r"dataset\.data_dir"):
        build_source(make_config(data_dir))


def test_cifar10_files(real_images):
    config = cifar10_jpeg_small.get_config()
    config.dataset.data_dir = str(real_images / "cifar10_jpeg")
    config.dataset.num_train_images = 500
    source = build_source(config)
    assert source.num_train_images == 500
    assert sum(batch["mask"].sum() for batch in source.eval_batches()) == 10_000
    images = np.concatenate([batch["image"] for batch in source.train_batches(0)])
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=0.05)
