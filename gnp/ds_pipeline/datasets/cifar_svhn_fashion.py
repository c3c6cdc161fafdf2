"""CIFAR-10, CIFAR-100, SVHN and Fashion-MNIST.

Read from the published files in dataset.data_dir if that is set, otherwise through
tensorflow-datasets, which prepares the sets in tfds_dir.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gnp.ds_pipeline.datasets import cifar_svhn_fashion_files
from gnp.ds_pipeline.labelled_data import Examples, LabelledData
from gnp.errors import UserError


@dataclasses.dataclass(frozen=True)
class _Published:
    num_classes: int
    tfds_name: str
    train_split: str
    read_train: Callable[[Path], Examples]
    read_test: Callable[[Path], Examples]
    read_class_names: Callable[[Path], list[str]]
    mean: tuple[float, ...]
    std: tuple[float, ...]


_SETS = {
    "cifar10": _Published(
        num_classes=10,
        tfds_name="cifar10",
        train_split="train",
        read_train=cifar_svhn_fashion_files.cifar10_train,
        read_test=cifar_svhn_fashion_files.cifar10_test,
        read_class_names=cifar_svhn_fashion_files.cifar10_class_names,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
    ),
    "cifar100": _Published(
        num_classes=100,
        tfds_name="cifar100",
        train_split="train",
        read_train=cifar_svhn_fashion_files.cifar100_train,
        read_test=cifar_svhn_fashion_files.cifar100_test,
        read_class_names=cifar_svhn_fashion_files.cifar100_class_names,
        mean=(0.50707516, 0.48654887, 0.44091784),
        std=(0.26733429, 0.25643846, 0.27615047),
    ),
    "svhn": _Published(
        num_classes=10,
        tfds_name="svhn_cropped",
        train_split="train+extra",
        read_train=cifar_svhn_fashion_files.svhn_train,
        read_test=cifar_svhn_fashion_files.svhn_test,
        read_class_names=cifar_svhn_fashion_files.svhn_class_names,
        mean=(0.43090966, 0.4302428, 0.44634357),
        std=(0.19759192, 0.20029082, 0.19811132),
    ),
    "fashion_mnist": _Published(
        num_classes=10,
        tfds_name="fashion_mnist",
        train_split="train",
        read_train=cifar_svhn_fashion_files.fashion_mnist_train,
        read_test=cifar_svhn_fashion_files.fashion_mnist_test,
        read_class_names=cifar_svhn_fashion_files.fashion_mnist_class_names,
        mean=(0.1307,),
        std=(0.3081,),
    ),
}


def load(config) -> LabelledData:
    """Reads the set that dataset.dataset_name names.

    Raises:
      UserError: the files are missing or damaged, or cannot be downloaded.
    """
    name = config.dataset.dataset_name
    published = _SETS[name]
    if config.dataset.data_dir:
        data = _read_files(published, Path(config.dataset.data_dir), config.use_test_set)
    else:
        from gnp.ds_pipeline.datasets import tfds_reader

        data = LabelledData(
            *tfds_reader.load(name, published.tfds_name, published.train_split, config.tfds_dir)
        )
    return dataclasses.replace(data, mean=published.mean, std=published.std)


def num_classes(config) -> int:
    """As published."""
    return _SETS[config.dataset.dataset_name].num_classes


def num_channels(config) -> int:
    """As published."""
    return len(_SETS[config.dataset.dataset_name].mean)


def _read_files(published, root, use_test_set):
    """The published files that are needed: without those of training, one can still evaluate."""
    class_names, nothing = published.read_class_names(root), np.arange(0)
    if not use_test_set:
        train = published.read_train(root)
        return LabelledData(train, train.take(nothing), class_names)
    test = published.read_test(root)
    try:
        return LabelledData(published.read_train(root), test, class_names)
    except UserError as error:
        return LabelledData(test.take(nothing), test, class_names, missing=str(error))
