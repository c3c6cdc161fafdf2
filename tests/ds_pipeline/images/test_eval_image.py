"""An image is prepared without tensorflow as the evaluation prepares it with tensorflow."""

import numpy as np
import pytest
from PIL import Image

from gnp.ds_pipeline.build import build_source, filled_in
from gnp.ds_pipeline.images.decode import read
from gnp.ds_pipeline.images.eval_image import EvalImage, centre, resized_photo
from gnp.main.config import load_config

SIZES = [(300, 400), (97, 64), (40, 33), (1, 50), (500, 375)]


@pytest.fixture(scope="module")
def tf_file_source():
    pytest.importorskip("tensorflow")
    from gnp.ds_pipeline.loaders import tf_file_source

    return tf_file_source


def smooth(height, width, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("size", [64, 224])
def test_the_centre_is_that_of_tensorflow(tf_file_source, height, width, size):
    photo = smooth(height, width)
    top, left, tall, wide = map(int, tf_file_source.centre_window(height, width, size))
    np.testing.assert_array_equal(centre(photo, size), photo[top : top + tall, left : left + wide])


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize(("height", "width"), [(300, 300), (97, 97), (1, 1), (33, 33)])
def test_photos_are_resized_as_by_tensorflow(tf_file_source, height, width, size, antialias):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = tf_file_source.resized(noise, size, antialias).numpy()
    found = resized_photo(noise, size, antialias)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def write_set(root):
    for part in ("train", "val"):
        for number, name in enumerate("ab"):
            (root / part / name).mkdir(parents=True)
            for index, (height, width) in enumerate(SIZES[:3]):
                photo = Image.fromarray(smooth(height, width, seed=10 * number + index))
                photo.save(root / part / name / f"{index}.png")
    return root


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_a_folder_equal_those_of_the_evaluation(tmp_path, resize, channels):
    config = load_config(
        "config/image_folder.py",
        [
            f"dataset.data_dir={write_set(tmp_path)}",
            "dataset.num_classes=2",
            "dataset.image_size=32",
            f"dataset.num_channels={channels}",
            f"dataset.resize={resize}",
            "batch_size=6",
        ],
    )
    check(config)


@pytest.mark.parametrize("antialias", [True, False])
def test_photos_equal_those_of_the_evaluation(tmp_path, antialias, tf_file_source):
    root = write_set(tmp_path)
    config = load_config(
        "config/imagenet.py",
        [
            f"imagenet_train_dir={root / 'train'}",
            f"imagenet_val_dir={root / 'val'}",
            "dataset.num_classes=2",
            "dataset.image_size=32",
            f"dataset.antialias={antialias}",
            "batch_size=6",
        ],
    )
    check(config)


def check(config):
    config = filled_in(config)
    source = build_source(config)
    (batch,) = source.eval_batches()
    prepare = EvalImage.from_config(config.dataset, source.mean, source.std)
    channels = config.dataset.num_channels
    found = np.stack([prepare(read(path, channels)) for path in source.eval_files])
    assert found.dtype == np.float32
    assert found.shape[1:] == prepare.shape == source.image_shape
    np.testing.assert_allclose(found, batch["image"], atol=1e-4)
