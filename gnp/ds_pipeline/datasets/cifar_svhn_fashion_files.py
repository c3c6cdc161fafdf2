"""The published file formats of CIFAR, SVHN and Fashion-MNIST."""

import gzip
import logging
import struct
from pathlib import Path

import numpy as np
from scipy import io

from gnp.ds_pipeline.datasets import unpickle
from gnp.ds_pipeline.labelled_data import Examples
from gnp.errors import UserError

_FLAG = "dataset.data_dir"
_log = logging.getLogger(__name__)

_FASHION_CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]


def cifar10_train(root: Path) -> Examples:
    """`data_batch_1` to `data_batch_5` of cifar-10-python.tar.gz."""
    parts = [_cifar_batch(_cifar10(root, f"data_batch_{i}"), b"labels", 10) for i in range(1, 6)]
    return _joined(parts)


def cifar10_test(root: Path) -> Examples:
    return _cifar_batch(_cifar10(root, "test_batch"), b"labels", 10)


def cifar10_class_names(root: Path) -> list[str]:
    return _cifar_names(_cifar10(root, "batches.meta"), b"label_names")


def cifar100_train(root: Path) -> Examples:
    """`train` of cifar-100-python.tar.gz, with the fine labels."""
    return _cifar_batch(_cifar100(root, "train"), b"fine_labels", 100)


def cifar100_test(root: Path) -> Examples:
    return _cifar_batch(_cifar100(root, "test"), b"fine_labels", 100)


def cifar100_class_names(root: Path) -> list[str]:
    return _cifar_names(_cifar100(root, "meta"), b"fine_label_names")


def svhn_train(root: Path) -> Examples:
    """`train_32x32.mat`, and `extra_32x32.mat` if it exists."""
    parts = [_svhn_file(_find(root, "train_32x32.mat"))]
    if (root / "extra_32x32.mat").is_file():
        parts.append(_svhn_file(root / "extra_32x32.mat"))
    else:
        _log.warning("%s has no extra_32x32.mat: training on train_32x32.mat alone.", root)
    return _joined(parts)


def svhn_test(root: Path) -> Examples:
    return _svhn_file(_find(root, "test_32x32.mat"))


def svhn_class_names(root: Path) -> list[str]:
    return [str(digit) for digit in range(10)]


def fashion_mnist_train(root: Path) -> Examples:
    """`train-images-idx3-ubyte.gz` and `train-labels-idx1-ubyte.gz`."""
    return _idx_examples(root, "train")


def fashion_mnist_test(root: Path) -> Examples:
    return _idx_examples(root, "t10k")


def fashion_mnist_class_names(root: Path) -> list[str]:
    return _FASHION_CLASSES


def _cifar10(root, name):
    return _find(root, name, "cifar-10-batches-py")


def _cifar100(root, name):
    return _find(root, name, "cifar-100-python")


def _find(root, name, folder=""):
    """The path of a file, in `root` or in the folder that the archive unpacks to."""
    for path in (root / name, root / folder / name):
        if path.is_file():
            return path
    raise UserError(
        f"{root / name} is missing; set {_FLAG} to the folder with the unpacked published files."
    )


def _cifar_batch(path, label_key, num_classes):
    content = unpickle.load_arrays(path)
    try:
        pixels, labels = content[b"data"], np.asarray(content[label_key])
        images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except Exception as error:
        raise _damaged(path, "a dictionary with the pixels and labels of 32x32x3 images") from error
    return _checked(path, images, labels, num_classes)


def _cifar_names(path, key):
    content = unpickle.load_arrays(path)
    try:
        return [name.decode() for name in content[key]]
    except Exception as error:
        raise _damaged(path, "a dictionary with the names of the classes") from error


def _svhn_file(path):
    try:
        content = io.loadmat(path)
        images, labels = content["X"].transpose(3, 0, 1, 2), content["y"].ravel()
    except Exception as error:
        raise _damaged(path, "a MATLAB file with the arrays X and y") from error
    return _checked(path, images, labels % 10, 10)  # the digit 0 is labelled 10


def _idx_examples(root, part):
    images_path = _find(root, f"{part}-images-idx3-ubyte.gz")
    labels = _idx(_find(root, f"{part}-labels-idx1-ubyte.gz"), dimensions=1)
    return _checked(images_path, _idx(images_path, dimensions=3)[..., None], labels, 10)


def _idx(path, dimensions):
    """An array in MNIST's IDX format: magic number, sizes, bytes."""
    try:
        with gzip.open(path) as file:
            magic, *shape = struct.unpack(f">{1 + dimensions}I", file.read(4 * (1 + dimensions)))
            if magic != 0x800 + dimensions:
                raise ValueError("wrong magic number")
            # Limits what a damaged or hostile header can make the reader allocate.
            content = file.read(min(np.prod(shape), 1 << 30))
            return np.frombuffer(content, np.uint8).reshape(shape)
    except Exception as error:
        raise _damaged(path, f"a gzipped IDX file of {dimensions} dimensions") from error


def _checked(path, images, labels, num_classes):
    labels = labels.astype(np.int64)
    if images.dtype != np.uint8 or len(images) != len(labels):
        raise _damaged(path, "as many labels as images of bytes")
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise _damaged(path, f"labels of {num_classes} classes")
    return Examples(np.ascontiguousarray(images), labels)


def _joined(parts):
    return Examples(
        *(np.concatenate(x) for x in zip(*((p.images, p.labels) for p in parts), strict=True))
    )


def _damaged(path, expected):
    return UserError(f"{path} is damaged: expected {expected}; download it again.")
