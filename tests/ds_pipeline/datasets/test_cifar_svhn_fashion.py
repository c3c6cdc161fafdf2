"""CIFAR, SVHN and Fashion-MNIST from the authors' files and through tensorflow-datasets."""

import gzip
import pickle
import struct

import numpy as np
import pytest
from scipy import io

from config import base
from gnp.ds_pipeline import settings
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.datasets import cifar_svhn_fashion_files
from gnp.errors import UserError

RNG = np.random.default_rng(0)


def pixels(count, size=32, channels=3):
    return RNG.integers(0, 256, (count, size, size, channels), np.uint8)


def write_cifar_batch(path, images, **labels):
    content = {b"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1)}
    content |= {key.encode(): values for key, values in labels.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))


def write_cifar10(root):
    folder = root / "cifar-10-batches-py"
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        write_cifar_batch(folder / name, pixels(10), labels=list(range(10)))
    names = {b"label_names": [f"name {i}".encode() for i in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names))


def write_cifar100(root):
    folder = root / "cifar-100-python"
    for name in ("train", "test"):
        write_cifar_batch(folder / name, pixels(100), fine_labels=list(range(100)))
    names = {b"fine_label_names": [f"name {i}".encode() for i in range(100)]}
    (folder / "meta").write_bytes(pickle.dumps(names))


def write_svhn(root):
    for part in ("train", "extra", "test"):
        labels = np.arange(1, 11, dtype=np.uint8)[:, None]
        io.savemat(root / f"{part}_32x32.mat", {"X": pixels(10).transpose(1, 2, 3, 0), "y": labels})


def write_fashion_mnist(root):
    for part in ("train", "t10k"):
        images = pixels(10, 28, 1)
        content = struct.pack(">4I", 0x803, 10, 28, 28) + images.tobytes()
        (root / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
        content = struct.pack(">2I", 0x801, 10) + bytes(range(10))
        (root / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))


WRITERS = {
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "svhn": write_svhn,
    "fashion_mnist": write_fashion_mnist,
}


def make_config(name, **dataset):
    config = base.get_config()
    config.batch_size = 10
    config.dataset.dataset_name = name
    if name == "cifar100":
        config.dataset.num_classes = 100
    if name == "fashion_mnist":
        config.dataset.update(image_size=28, num_channels=1)
    config.dataset.update(dataset)
    return config


@pytest.mark.parametrize("name", WRITERS)
def test_published_files(tmp_path, name):
    WRITERS[name](tmp_path)
    source = build_source(make_config(name, data_dir=str(tmp_path)))
    expected = {"cifar10": 50, "cifar100": 100, "svhn": 20, "fashion_mnist": 10}[name]
    assert source.num_train_images == expected
    labels = np.concatenate([batch["label"] for batch in source.train_batches(0)])
    np.testing.assert_array_equal(labels.sum(0), labels.shape[0] / labels.shape[1])
    assert len(set(source.class_names)) == labels.shape[1]
    assert sum(batch["mask"].sum() for batch in source.eval_batches()) == source.num_eval_images


@pytest.mark.parametrize("name", WRITERS)
def test_basic_augmentation_pads_by_four_pixels(name):
    config = make_config(name, image_level_augmentations="basic")
    assert settings._crop_padding(config.dataset) == 4


def test_pixels_and_labels_stay_together(tmp_path):
    images = pixels(10)
    write_cifar10(tmp_path)
    write_cifar_batch(
        tmp_path / "cifar-10-batches-py" / "test_batch", images, labels=list(range(10))
    )
    source = build_source(make_config("cifar10", data_dir=str(tmp_path)))
    batch = next(source.eval_batches())
    labels = batch["label"].argmax(1)
    assert sorted(labels.tolist()) == list(range(10))
    restored = (batch["image"] * source.std + source.mean) * 255
    np.testing.assert_allclose(restored, images[labels], atol=1e-3)


def test_svhn_digit_zero_is_class_zero(tmp_path):
    write_svhn(tmp_path)
    read = cifar_svhn_fashion_files.svhn_test(tmp_path)
    np.testing.assert_array_equal(read.labels, [*range(1, 10), 0])


class _Intruder:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles_run_no_code(tmp_path, protocol):
    write_cifar10(tmp_path)
    trace = tmp_path / "trace"
    content = pickle.dumps({b"data": _Intruder(trace), b"labels": []}, protocol=protocol)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(UserError, match="data_batch_3 is refused"):
        build_source(make_config("cifar10", data_dir=str(tmp_path)))
    assert not trace.exists()


DAMAGE = {
    "cifar10": ("cifar-10-batches-py/data_batch_1", b"\x80\x02}q"),
    "cifar100": ("cifar-100-python/train", pickle.dumps([1, 2, 3])),
    "svhn": ("train_32x32.mat", b"MATLAB 5.0 MAT-file" + bytes(200)),
    "fashion_mnist": ("train-images-idx3-ubyte.gz", gzip.compress(b"\0\0\x08\x03" + bytes(30))),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("content", ["damaged", "empty", "missing"])
def test_damaged_files_are_named(tmp_path, name, content):
    WRITERS[name](tmp_path)
    file, damaged = DAMAGE[name]
    path = tmp_path / file
    if content == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged if content == "damaged" else b"")
    with pytest.raises(UserError, match=path.name):
        build_source(make_config(name, data_dir=str(tmp_path)))


def test_labels_out_of_range_are_refused(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    write_cifar_batch(path, pixels(2), labels=[3, 10])
    with pytest.raises(UserError, match="data_batch_2 is damaged: expected labels of 10 classes"):
        build_source(make_config("cifar10", data_dir=str(tmp_path)))


def test_tensorflow_datasets(tmp_path):
    """A set that tensorflow-datasets' own writer prepared is found by its name, offline."""
    tfds = pytest.importorskip("tensorflow_datasets")
    data = {part: pixels(20) for part in ("train", "test")}

    def examples(images):
        return ((i, {"id": str(i), "image": x, "label": i % 10}) for i, x in enumerate(images))

    builder = tfds.builder("cifar10", data_dir=tmp_path)
    builder.info.features["label"].names = [f"name {label}" for label in range(10)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="cifar10",
        version=str(builder.version),
        features=builder.info.features,
        split_datasets={part: list(examples(images)) for part, images in data.items()},
        config=None,
        data_dir=tmp_path,
        description="",
    )
    config = make_config("cifar10")
    config.tfds_dir = str(tmp_path)
    source = build_source(config)
    assert source.num_train_images == 20
    assert source.class_names[:2] == ["name 0", "name 1"]
    images = np.concatenate([batch["image"] for batch in source.eval_batches()])
    restored = np.round((images * source.std + source.mean) * 255).astype(np.uint8)
    assert {image.tobytes() for image in restored} == {image.tobytes() for image in data["test"]}


def test_what_can_be_had_nowhere_says_where_to_put_it(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    def offline(self, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    config = make_config("cifar10")
    config.tfds_dir = str(tmp_path)
    with pytest.raises(UserError, match=r"cifar10 is neither prepared .* set dataset\.data_dir"):
        build_source(config)
