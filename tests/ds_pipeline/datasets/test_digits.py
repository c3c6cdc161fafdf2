"""The embedded digits, and what every source shares, on them."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from config import digits as digits_config
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.datasets.digits import read_digits
from gnp.errors import UserError


def make_config(**dataset):
    config = digits_config.get_config()
    config.dataset.update(dataset)
    return config


def collect(batches, key):
    return np.concatenate([batch[key] for batch in batches])


def test_split_and_batches():
    source = build_source(make_config())
    assert (source.num_train_images, source.num_eval_images) == (1437, 360)
    assert source.image_shape == (8, 8, 1)
    batches = list(source.train_batches(0))
    assert len(batches) == 1437 // 64
    assert batches[0]["image"].shape == (64, 8, 8, 1)
    assert batches[0]["image"].dtype == batches[0]["label"].dtype == np.float32
    np.testing.assert_array_equal(collect(batches, "label").sum(1), 1)


@pytest.mark.parametrize("loader", ["tfdata", "device"])
def test_the_training_images_can_be_evaluated_on_as_they_are(loader):
    config = make_config(num_train_images=100, loader=loader)
    source = build_source(config, evaluate_on_train=True)
    assert (source.num_train_images, source.num_eval_images) == (100, 100)
    batches = list(source.eval_batches())
    if loader == "device":
        batches = [source.prepare_eval(source.device_data, batch) for batch in batches]
    real = collect(batches, "mask") > 0
    config.dataset.image_level_augmentations = "none"
    config.batch_size = 100
    plain = build_source(config)
    (expected,) = [
        batch if loader == "tfdata" else plain.prepare(plain.device_data, batch)
        for batch in plain.train_batches(0)
    ]
    rows = [
        np.unique(np.reshape(images, (-1, 64)), axis=0)
        for images in (collect(batches, "image")[real], expected["image"])
    ]
    assert real.sum() == 100
    np.testing.assert_allclose(*rows, rtol=1e-6)


def test_they_are_the_digits_that_scikit_learn_loads():
    expected = datasets.load_digits()
    images, labels = read_digits()
    np.testing.assert_array_equal(images, expected.images)
    np.testing.assert_array_equal(labels, expected.target)


def test_images_are_normalized():
    images = collect(
        build_source(make_config(image_level_augmentations="none")).train_batches(0), "image"
    )
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=0.01)


def test_evaluation_is_padded_and_masked():
    batches = list(build_source(make_config()).eval_batches())
    assert {batch["image"].shape for batch in batches} == {(64, 8, 8, 1)}
    assert collect(batches, "mask").sum() == 360


def test_training_and_evaluation_images_differ():
    source = build_source(make_config(image_level_augmentations="none"))
    train = {image.tobytes() for image in collect(source.train_batches(0), "image")}
    mask = collect(source.eval_batches(), "mask") == 1
    test = {image.tobytes() for image in collect(source.eval_batches(), "image")[mask]}
    assert not train & test


def test_processes_see_their_share_of_the_same_batches():
    config = make_config(batch_level_augmentations="mixcut", image_level_augmentations="basic")
    config.dataset.cutout_length = 3
    whole = list(build_source(config).train_batches(1, first_step=20))
    shares = [
        list(build_source(config, process_index=p, process_count=2).train_batches(1, first_step=20))
        for p in range(2)
    ]
    for batch, first, second in zip(whole, *shares, strict=True):
        for key in batch:
            np.testing.assert_array_equal(batch[key], np.concatenate([first[key], second[key]]))


def test_hold_out_replaces_the_test_set():
    config = make_config()
    config.use_test_set = False
    source = build_source(config)
    assert (source.num_train_images, source.num_eval_images) == (1437 - 144, 144)


def test_first_images_are_the_same_for_every_seed():
    def images(seed):
        config = make_config(num_train_images=64, image_level_augmentations="none")
        config.seeds = seed
        return {i.tobytes() for i in collect(build_source(config).train_batches(0), "image")}

    assert images(0) == images(1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset_name", "digit", "Unknown data set 'digit'; known: digits"),
        ("image_level_augmentations", "basics", "known: basic"),
        ("batch_level_augmentations", "mixups", "known: mixup"),
        ("image_size", 32, "set dataset.image_size to 8"),
        ("num_classes", 11, "has 10 classes"),
        ("num_train_images", 2000, "1437 images"),
        ("crop_padding", 8, "choose 1 to 7"),
        ("resize", "fit", r"Unknown dataset\.resize 'fit'; known: "),
        ("mixup_alpha", 0.0, "above 0"),
    ],
)
def test_bad_fields_are_named(field, value, message):
    with pytest.raises(UserError, match=message):
        build_source(make_config(**{field: value}))


def test_negative_seed_is_refused():
    config = make_config()
    config.seeds = -1
    with pytest.raises(UserError, match="seeds is -1"):
        build_source(config)


def test_tensorflow_and_jax_are_not_loaded():
    code = (
        "import sys; from config import digits; from gnp.ds_pipeline import build;"
        "next(build.build_source(digits.get_config()).train_batches(0));"
        "assert not {'tensorflow', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
