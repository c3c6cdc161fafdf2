"""Wrong training labels: which, how many, and the same everywhere."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from config import base
from config import digits as digits_config
from gnp.ds_pipeline import rng
from gnp.ds_pipeline.build import build_source, load_data
from gnp.ds_pipeline.labels import label_noise
from gnp.ds_pipeline.loaders.numpy_source import NumpySource
from gnp.errors import UserError

# How batches are made: with numpy alone, with tf.data (which a policy needs), on the device.
LOADERS = {
    "numpy": {"loader": "tfdata"},
    "tf.data": {"loader": "tfdata", "image_level_augmentations": "randaugment"},
    "device": {"loader": "device"},
}
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LABELS = np.arange(1000) % 10


def make_config(**dataset):
    config = digits_config.get_config()
    config.dataset.update({"label_noise": 0.4, "image_level_augmentations": "none"} | dataset)
    return config


def collect(source, batches, prepare=None):
    """Whole batches joined, without padding, as the device completes them."""
    prepare = prepare or source.prepare_eval
    batches = [prepare(source.device_data, batch) for batch in batches]
    joined = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    real = joined.get("mask", np.ones(len(joined["image"]))) > 0
    return {key: np.asarray(values)[real] for key, values in joined.items()}


def by_image(source, images, labels):
    """Pixels -> class."""
    pixels = np.round((images * source.std + source.mean) * 255).astype(np.uint8)
    classes = labels.argmax(-1).tolist()
    return {image.tobytes(): label for image, label in zip(pixels, classes, strict=True)}


def trained_on(config, epoch=0, **process):
    """The labels that an epoch trains with, by image; every image is seen."""
    config.batch_size = 1437
    source = build_source(config, **process)
    batch = collect(source, source.train_batches(epoch), source.prepare)
    return by_image(source, batch["image"], batch["label"])


@given(share=st.floats(0, 1), count=st.integers(1, 300))
def test_symmetric_noise_touches_the_exact_share(share, count):
    """Every new label is 1000 here, so that no image can keep its own."""
    labels = np.full(count, 1000)
    noisy = label_noise.symmetric(labels, share, 10, seed=0)
    assert (noisy != labels).sum() == round(share * count)


def test_symmetric_noise_is_uniform_over_all_classes():
    labels = np.repeat(np.arange(10), 1000)
    noisy = label_noise.symmetric(labels, 1.0, 10, seed=0)
    pairs = np.zeros((10, 10), int)
    np.add.at(pairs, (labels, noisy), 1)
    assert pairs.min() > 60  # of 100 expected; the true class is as likely as any other
    assert pairs.max() < 140
    np.testing.assert_allclose(pairs.sum(0), 1000, atol=150)


def test_the_noise_of_a_larger_share_holds_that_of_a_smaller():
    some = label_noise.symmetric(LABELS, 0.2, 10, seed=3)
    more = label_noise.symmetric(LABELS, 0.6, 10, seed=3)
    changed = some != LABELS
    assert changed.any()
    np.testing.assert_array_equal(some[changed], more[changed])
    assert (more != LABELS).sum() > changed.sum()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 1.0])
def test_asymmetric_noise_turns_classes_into_their_partners(share):
    labels = np.repeat(np.arange(10), 130)
    noisy = label_noise.asymmetric(labels, share, label_noise.partners(CIFAR10), seed=0)
    expected = {
        "truck": "automobile",
        "bird": "airplane",
        "deer": "horse",
        "cat": "dog",
        "dog": "cat",
    }
    for number, name in enumerate(CIFAR10):
        given = noisy[labels == number]
        changed = given[given != number]
        assert len(changed) == (round(share * 130) if name in expected else 0)
        assert {CIFAR10[label] for label in changed} == (
            {expected[name]} if len(changed) else set()
        )


def test_asymmetric_noise_chooses_images_all_over_a_class():
    labels = np.zeros(1000, int)
    noisy = label_noise.asymmetric(labels, 0.3, np.array([1, 0]), seed=0)
    for part in np.split(noisy, 10):
        assert 10 < part.sum() < 60


def test_partners_are_found_by_name_not_by_number():
    shuffled = CIFAR10[::-1]
    partners = label_noise.partners(shuffled)
    assert shuffled[partners[shuffled.index("deer")]] == "horse"
    assert shuffled[partners[shuffled.index("frog")]] == "frog"


def test_superclasses_of_cifar100():
    table = label_noise.CIFAR100_SUPERCLASSES
    names = sorted(name for classes in table.values() for name in classes)
    assert len(table) == 20
    assert len(set(names)) == len(names) == 100
    assert all(list(classes) == sorted(classes) and len(classes) == 5 for classes in table.values())
    partners = label_noise.partners(names)
    superclass = {name: group for group, classes in table.items() for name in classes}
    for number, name in enumerate(names):
        assert superclass[names[partners[number]]] == superclass[name]
    assert sorted(partners) == list(range(100))
    five_times = np.arange(100)
    for _ in range(5):
        assert (five_times != partners[five_times]).all()
        five_times = partners[five_times]
    np.testing.assert_array_equal(five_times, np.arange(100))
    assert names[partners[names.index("whale")]] == "beaver"
    assert names[partners[names.index("bicycle")]] == "bus"


def test_other_classes_turn_into_the_next():
    np.testing.assert_array_equal(label_noise.partners(["a", "b", "c"]), [1, 2, 0])
    data = load_data(make_config(label_noise_kind="asymmetric", label_noise=0.3))
    wrong = data.train.labels != data.train.true_labels
    np.testing.assert_array_equal(
        data.train.labels[wrong], (data.train.true_labels[wrong] + 1) % 10
    )
    for label in range(10):
        of_class = data.train.true_labels == label
        assert wrong[of_class].sum() == round(0.3 * of_class.sum())


@pytest.mark.parametrize("kind", label_noise.KINDS)
def test_all_loaders_train_with_the_same_labels(kind):
    labels = [trained_on(make_config(label_noise_kind=kind, loader="tfdata"))]
    labels += [trained_on(make_config(label_noise_kind=kind, loader="device"))]
    data = load_data(make_config(label_noise_kind=kind))
    pixels = (image.tobytes() for image in data.train.images)
    expected = dict(zip(pixels, data.train.labels.tolist(), strict=True))
    assert (data.train.labels != data.train.true_labels).sum() > 300
    assert labels == [expected] * 2


def test_tf_data_trains_with_the_same_labels():
    """Its images pass through a policy; order and labels are those of numpy."""
    for config in (make_config(), make_config(loader="device")):
        config.batch_size = 1437
        source = build_source(config)
        batch = collect(source, source.train_batches(1), source.prepare)
        config = make_config(**LOADERS["tf.data"])
        config.batch_size = 1437
        (other,) = build_source(config).train_batches(1)
        np.testing.assert_array_equal(batch["label"], other["label"])


def assert_epochs_have_the_same_labels(config):
    assert trained_on(config, epoch=0) == trained_on(config, epoch=3)


def test_neither_seed_nor_epoch_changes_the_labels():
    config = make_config()
    first = trained_on(config)
    assert_epochs_have_the_same_labels(config)
    config.seeds = 7
    assert trained_on(config) == first
    config.dataset.label_noise_seed = 1
    assert trained_on(config) != first


def test_labels_drawn_anew_in_each_epoch_would_be_found(monkeypatch):
    train_batches = NumpySource.train_batches

    def drawn_anew(source, epoch):
        train = source._data.train
        labels = label_noise.symmetric(train.true_labels, 0.4, 10, seed=epoch)
        source._data = dataclasses.replace(
            source._data, train=dataclasses.replace(train, labels=labels)
        )
        return train_batches(source, epoch)

    config = make_config(**LOADERS["numpy"])
    assert_epochs_have_the_same_labels(config)
    monkeypatch.setattr(NumpySource, "train_batches", drawn_anew)
    with pytest.raises(AssertionError):
        assert_epochs_have_the_same_labels(config)


def test_the_test_labels_are_those_of_the_source():
    plain, noisy = load_data(make_config(label_noise=0.0)), load_data(make_config(label_noise=1.0))
    np.testing.assert_array_equal(plain.test.labels, noisy.test.labels)
    np.testing.assert_array_equal(plain.test.images, noisy.test.images)
    assert noisy.test.true_labels is None
    np.testing.assert_array_equal(plain.train.labels, noisy.train.true_labels)
    np.testing.assert_array_equal(plain.train.images, noisy.train.images)


def test_without_noise_nothing_is_kept():
    data = load_data(make_config(label_noise=0.0, label_noise_kind="asymmetric"))
    source = build_source(make_config(label_noise=0.0))
    assert data.train.true_labels is None
    assert (source.num_wrong_labels, source.label_noise) == (0, None)
    assert list(source.wrong_label_batches()) == []


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("count", [1, 2])
def test_the_wrong_labels_are_evaluated_once_over_all_processes(loader, count):
    config = make_config(**LOADERS[loader])
    data = load_data(config)
    true = dict(
        zip((i.tobytes() for i in data.train.images), data.train.true_labels.tolist(), strict=True)
    )
    given = dict(
        zip((i.tobytes() for i in data.train.images), data.train.labels.tolist(), strict=True)
    )
    given = {image: label for image, label in given.items() if label != true[image]}
    sources = [build_source(config, process_index=p, process_count=count) for p in range(count)]
    assert {source.num_wrong_labels for source in sources} == {len(given)}
    lengths = {len(list(source.wrong_label_batches())) for source in sources}
    assert lengths == {-(-len(given) // 64)}
    parts = [collect(source, source.wrong_label_batches()) for source in sources]
    assert sum(len(part["image"]) for part in parts) == len(given)
    found, found_true = {}, {}
    for source, part in zip(sources, parts, strict=True):
        assert part["label"].dtype == part["true_label"].dtype == np.float32
        np.testing.assert_array_equal(part["true_label"].sum(1), 1)
        found |= by_image(source, part["image"], part["label"])
        found_true |= by_image(source, part["image"], part["true_label"])
    assert found == given
    assert found_true == {image: true[image] for image in given}


@pytest.mark.parametrize("batch_level", ["none", "mixup"])
def test_processes_share_the_same_noisy_batches(batch_level):
    config = make_config(batch_level_augmentations=batch_level)
    whole = next(build_source(config).train_batches(0))
    parts = [
        next(build_source(config, process_index=p, process_count=2).train_batches(0))
        for p in range(2)
    ]
    np.testing.assert_array_equal(whole["label"], np.concatenate([part["label"] for part in parts]))


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_any_number_of_devices_has_the_same_wrong_labels(num_devices):
    source = build_source(make_config(loader="device"))
    for prepare, batch in (
        (source.prepare, next(source.train_batches(0))),
        (source.prepare_eval, next(source.wrong_label_batches())),
    ):
        parts = jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch)
        mapped = jax.pmap(prepare, in_axes=(None, 0))(source.device_data, parts)
        whole = prepare(source.device_data, batch)
        for key, values in whole.items():
            np.testing.assert_allclose(np.concatenate(list(mapped[key])), values, atol=1e-6)


def test_wrong_labels_are_not_augmented_and_not_mixed():
    plain = build_source(make_config())
    augmented = build_source(
        make_config(image_level_augmentations="crop", batch_level_augmentations="mixup")
    )
    for ours, theirs in zip(
        plain.wrong_label_batches(), augmented.wrong_label_batches(), strict=True
    ):
        np.testing.assert_array_equal(ours["image"], theirs["image"])
        np.testing.assert_array_equal(ours["label"], theirs["label"])


def test_the_held_out_tenth_is_noisy_and_the_log_says_so(caplog):
    def held_out(label_noise):
        config = make_config(label_noise=label_noise)
        config.use_test_set = False
        return load_data(config)

    with caplog.at_level(logging.WARNING):
        plain = held_out(0.0)
    assert not caplog.text
    with caplog.at_level(logging.WARNING):
        noisy = held_out(0.4)
    np.testing.assert_array_equal(plain.test.images, noisy.test.images)
    wrong = (noisy.test.labels != plain.test.labels).sum()
    assert 30 < wrong < 75
    assert f"{wrong} of these 144 have wrong labels" in caplog.text


def test_a_subset_has_the_labels_of_the_whole():
    whole, part = load_data(make_config()), load_data(make_config(num_train_images=200))
    labels = dict(zip((i.tobytes() for i in whole.train.images), whole.train.labels, strict=True))
    for image, label in zip(part.train.images, part.train.labels, strict=True):
        assert labels[image.tobytes()] == label
    source = build_source(make_config(num_train_images=200))
    assert source.num_wrong_labels == (part.train.labels != part.train.true_labels).sum()


def test_the_training_images_are_evaluated_on_with_the_given_labels():
    source = build_source(make_config(), evaluate_on_train=True)
    batch = collect(source, source.eval_batches())
    assert by_image(source, batch["image"], batch["label"]) == trained_on(make_config())


@pytest.mark.parametrize("memory_limit_gb", [1.0, 0.0])
def test_image_files_and_skipped_ones_keep_their_labels(tmp_path, memory_limit_gb):
    for part in ("train", "val"):
        for name in ("a", "b", "c"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(8):
                Image.new("RGB", (16, 16), (number * 30, ord(name), 90)).save(
                    folder / f"{number}.png"
                )
    config = base.get_config()
    config.batch_size = 4
    config.dataset.update(
        dataset_name="image_folder",
        data_dir=str(tmp_path),
        num_classes=3,
        image_size=16,
        memory_limit_gb=memory_limit_gb,
        label_noise=0.5,
    )
    whole = build_source(config, normalization=([0.5] * 3, [0.5] * 3))
    batch = collect(whole, whole.wrong_label_batches())
    labels = by_image(whole, batch["image"], batch["label"])
    assert len(labels) == whole.num_wrong_labels > 4
    expected = load_data(config).train
    files = (np.asarray(Image.open(path)).tobytes() for path in expected.images)
    expected = dict(zip(files, expected.labels.tolist(), strict=True))
    assert labels.items() <= expected.items()

    (tmp_path / "train" / "b" / "3.png").write_bytes(b"no image")
    config.dataset.on_bad_image = "skip"
    rest = build_source(config, normalization=([0.5] * 3, [0.5] * 3))
    batch = collect(rest, rest.wrong_label_batches())
    assert by_image(rest, batch["image"], batch["label"]).items() <= labels.items()
    assert rest.num_train_images == 23


def test_what_was_changed_is_summed_up():
    source = build_source(make_config(label_noise_seed=2))
    summary = source.label_noise
    assert [summary[key] for key in ("kind", "share", "seed", "num_images")] == [
        *("symmetric", 0.4, 2, 1437)
    ]
    assert summary["changed"] == source.num_wrong_labels
    batch = collect(source, source.wrong_label_batches())
    counts = batch["true_label"].sum(0).astype(int).tolist()
    assert summary["changed_per_class"] == dict(zip(source.class_names, counts, strict=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label_noise": 1.5}, r"dataset\.label_noise is 1\.5; choose .* 0 to 1"),
        ({"label_noise": -0.1}, r"label_noise is -0\.1"),
        ({"label_noise": float("nan")}, "label_noise is nan"),
        ({"label_noise_kind": "asymetric"}, "'asymetric'; known: asymmetric, symmetric"),
        ({"label_noise_kind": "sym", "label_noise": 0.0}, "'sym'; known: symmetric"),
        ({"label_noise_seed": -1}, "label_noise_seed is -1; choose a number of at least 0"),
        ({"train_labels": "a.npy"}, "only one of them can set the labels"),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(UserError, match=message):
        build_source(make_config(**fields))


def test_random_numbers_of_other_purposes_are_as_they_were():
    """The streams have fixed numbers: a new one comes at the end."""
    assert [rng.ORDER, rng.IMAGES, rng.STEPS, rng.SPLIT, rng.LABEL_NOISE] == [0, 1, 2, 3, 4]
