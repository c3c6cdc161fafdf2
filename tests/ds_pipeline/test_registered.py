"""Registered data sources and augmentations: the same batches with every loader, and refusals."""

import jax
import numpy as np
import pytest

from gnp.ds_pipeline.augment.levels import register_augmentation
from gnp.ds_pipeline.build import (
    batch_level_names,
    build_source,
    filled_in,
    image_level_names,
    register_source,
    source_names,
)
from gnp.errors import UserError
from gnp.main.config import load_config
from tests import registries
from tests.ds_pipeline.loaders.test_device_source import on_devices

SIZE = 8
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (24, SIZE, SIZE, 3), np.uint8)
LABELS = np.arange(24) % 3


@pytest.fixture(autouse=True)
def _own_tables(monkeypatch):
    registries.forget_after(monkeypatch)


def noise(config):
    assert config.dataset.image_size == SIZE
    test = list(zip(IMAGES[:6], LABELS[:6], strict=True))
    return {"train": (IMAGES, LABELS), "test": test, "class_names": ["a", "b", "c"]}


def dim(xp, images, uniforms):
    return xp.where(uniforms[:, :1, None, None] < 0.5, 0.5 * images, images)


def blend(xp, images, labels, partner_images, partner_labels, uniforms):
    part = 0.5 * uniforms[:, 1:2]
    labels = labels + part * (partner_labels - labels)
    return images + part[:, :, None, None] * (partner_images - images), labels


def config_of(name="noise", loader="tfdata", **dataset):
    fields = {"dataset_name": name, "loader": loader, "image_size": SIZE} | dataset
    changes = [f"dataset.{field}={value}" for field, value in fields.items()]
    return load_config("config/image_folder.py", ["batch_size=8", *changes])


OWN = {"image_level_augmentations": "dim", "batch_level_augmentations": "blend"}


def register_all():
    register_source("noise")(noise)
    register_augmentation("dim", num_uniforms=1, crop=True, flip=True)(dim)
    register_augmentation("blend", level="batch", num_uniforms=2)(blend)


def batches_of(config, **arguments):
    source = build_source(config, **arguments)
    return [source.prepare(source.device_data, batch) for batch in source.train_batches(1)]


def test_every_loader_makes_the_same_batches(monkeypatch):
    pytest.importorskip("tensorflow")
    register_all()
    of_tensorflow = batches_of(config_of(**OWN))
    device = build_source(config_of(loader="device", **OWN))
    of_devices = [
        on_devices(device.prepare, device.device_data, batch) for batch in device.train_batches(1)
    ]
    monkeypatch.setattr("gnp.ds_pipeline.tensorflow_cpu.is_installed", lambda: False)
    of_numpy = batches_of(config_of(**OWN))
    assert type(build_source(config_of(**OWN))).__name__ == "NumpySource"
    for found in (of_devices, of_numpy):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), of_tensorflow, found)
    plain = batches_of(config_of(image_level_augmentations="basic"))
    assert np.abs(plain[0]["image"] - of_numpy[0]["image"]).max() > 0.1
    assert 0.1 < min(label[label > 0].min() for label in of_numpy[0]["label"]) < 1


def test_processes_share_the_batches():
    register_all()
    whole = batches_of(config_of(loader="device", **OWN))
    parts = [
        batches_of(config_of(loader="device", **OWN), process_index=p, process_count=2)
        for p in range(2)
    ]
    for expected, *found in zip(whole, *parts, strict=True):
        joined = np.concatenate([part["image"] for part in found])
        np.testing.assert_allclose(joined, expected["image"], atol=1e-5)


def test_what_they_do():
    register_all()
    dimmed = build_source(config_of(loader="device", image_level_augmentations="dim"))
    plain = build_source(config_of(loader="device", image_level_augmentations="basic"))
    for ours, theirs in zip(dimmed.train_batches(0), plain.train_batches(0), strict=True):
        own = dict(ours["own"])
        uniforms = own.pop("uniforms")
        batch = dimmed.prepare(dimmed.device_data, ours)["image"]
        expected = plain.prepare(plain.device_data, theirs | {"own": own})["image"]
        factor = np.where(uniforms[:, 0] < 0.5, 0.5, 1)[:, None, None, None]
        np.testing.assert_allclose(batch, factor * expected, atol=1e-6)


def test_the_source_says_what_the_data_have():
    register_all()
    assert "noise" in source_names()
    assert "dim" in image_level_names()
    assert "blend" in batch_level_names()
    dataset = filled_in(config_of(num_classes=None, num_channels=None)).dataset
    assert (dataset.num_classes, dataset.num_channels) == (3, 3)
    assert build_source(config_of(loader="device")).class_names == ["a", "b", "c"]


def fails(*arguments):
    raise KeyError("not here")


SOURCES = {
    "three": (lambda config: 3, r"^The source mine is 3; give a dictionary with train, test and"),
    "no training": (lambda config: {"test": (IMAGES, LABELS)}, r"^The source mine is \['test'\]"),
    "no labels": (
        lambda config: {"train": IMAGES, "test": IMAGES},
        r"^The source mine, train cannot be used: element 0 fails \(ValueError: too many values",
    ),
    "short": (
        lambda config: {"train": (IMAGES, LABELS[:3])},
        r"^The source mine, train has 24 images and 3 labels; give one label per image\.",
    ),
    "names as labels": (
        lambda config: {"train": (IMAGES, ["cat"] * 24), "test": (IMAGES, LABELS)},
        r"^The source mine, train cannot be used: the label of element 0 is 'cat'; give the num",
    ),
    "fails": (fails, r"^The source mine fails \(KeyError: 'not here'\); fix the function that is"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_that_cannot_be_used_is_one_sentence(kind):
    function, sentence = SOURCES[kind]
    register_source("mine")(function)
    with pytest.raises(UserError, match=sentence) as error:
        build_source(config_of("mine", num_classes=None))
    assert "\n" not in str(error.value)


def loud(result):
    return lambda xp, images, *rest: result(images, *rest)


AUGMENTATIONS = {
    "shape": ("image", loud(lambda images, *rest: images[:, 1:]), r"float32 of 8x7x8x3 for float3"),
    "number": ("image", loud(lambda images, *rest: images[:2]), r"float32 of 2x8x8x3 for float32"),
    "nothing": ("image", loud(lambda *rest: None), r"fails \(AttributeError: 'NoneType' object"),
    "fails": ("image", fails, r"fails \(KeyError: 'not here'\); it must do with arrays of"),
    "no labels": ("batch", loud(lambda images, *rest: images), r"returns float32 of 8x8x8x3 for f"),
    "labels": (
        "batch",
        loud(lambda images, labels, *rest: (images, labels[:, :1])),
        r"returns float32 of 8x8x8x3 and float32 of 8x1 for float32 of 8x8x8x3 and float32 of 8x3",
    ),
    "arguments": ("batch", lambda xp, images: images, r"fails \(TypeError: "),
}


@pytest.mark.parametrize("loader", ["numpy", "tfdata", "device"])
@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_an_augmentation_that_cannot_be_used_is_one_sentence(kind, loader, tmp_path, monkeypatch):
    if loader == "tfdata":
        pytest.importorskip("tensorflow")
    if loader == "numpy":
        monkeypatch.setattr("gnp.ds_pipeline.tensorflow_cpu.is_installed", lambda: False)
    register_all()
    level, function, sentence = AUGMENTATIONS[kind]
    register_augmentation("mine", level=level)(function)
    names = {f"{level}_level_augmentations": "mine"}
    loader = "device" if loader == "device" else "tfdata"
    with pytest.raises(UserError, match="^The augmentation mine .*" + sentence) as error:
        build_source(config_of(loader=loader, **names), run_dir=tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"level": "pixel"}, r"^Unknown level of an augmentation 'pixel'; known: "),
        ({"num_uniforms": -1}, r"^num_uniforms of the augmentation mine is -1; give a whole numb"),
        ({"level": "batch", "crop": True}, r"^The augmentation mine is one of batches, which come"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        register_augmentation("mine", **arguments)


def test_names_are_taken_once():
    with pytest.raises(UserError, match=r"^The augmentation 'basic' is registered already; choose"):
        register_augmentation("basic")(dim)
    with pytest.raises(UserError, match=r"^The augmentation 'mixup' is registered already; choose"):
        register_augmentation("mixup", level="batch")(blend)
    with pytest.raises(UserError, match=r"^The source 'digits' is registered already; choose"):
        register_source("digits")(noise)
    with pytest.raises(UserError, match=r"^The name that register_augmentation got is <function"):
        register_augmentation(dim)
