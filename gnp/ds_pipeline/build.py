"""Data sources by name."""

import dataclasses
import functools
import importlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gnp.ds_pipeline import checks, partition, settings, tensorflow_cpu
from gnp.ds_pipeline.augment import levels
from gnp.ds_pipeline.datasets import from_python
from gnp.ds_pipeline.images import bad_images, in_memory
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.ds_pipeline.labels import label_noise
from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError, unknown_name
from gnp.registering import registering

# Name -> the file of datasets/ whose `load(config)` returns a LabelledData. Its
# `num_classes(config)` and `num_channels(config)`, if it has them, say what the data have. Or what
# has these methods.
_SOURCES: dict[str, Any] = {
    "cifar10": "cifar_svhn_fashion",
    "cifar100": "cifar_svhn_fashion",
    "csv": "table",
    "digits": "digits",
    "fake": "fake",
    "fashion_mnist": "cifar_svhn_fashion",
    "huggingface": "hugging_face",
    "image_folder": "image_folder",
    "imagenet": "imagenet",
    "npz": "npz",
    "python": "from_python",
    "svhn": "cifar_svhn_fashion",
    "tfds": "tfds",
    "webdataset": "webdataset",
}

_LOADERS = ("tfdata", "device")

# These need tensorflow only if the augmentation does.
_NUMPY_SOURCES = ("digits", "fake")

_Config = TypeVar("_Config")  # of ml_collections, frozen or not

_log = logging.getLogger(__name__)


def register_source(name: str) -> Callable[[Callable], Callable]:
    """Registers a function that makes a data set, as a value of `dataset.dataset_name`.

    >>> @gnp.register_source("discs")
    ... def discs(config):
    ...     images, labels = np.zeros((80, 8, 8), np.uint8), np.arange(80) % 2
    ...     return {"train": (images, labels), "test": (images[:10], labels[:10])}
    ...
    >>> build_source(gnp.load_config("digits", {"dataset.dataset_name": "discs"})).num_train_images
    80

    It is called with the config, more than once, and returns what `gnp.train` takes as `source`:
    `train`, `test` and, if the classes have names, `class_names`. A part is a tuple of images and
    labels, or anything with `len` and `[i] -> image, label`. All images are read into memory.

    Raises:
      UserError: the name is registered already.
    """
    make = functools.partial(from_python.RegisteredSource, name)
    return registering(_SOURCES, "source", name, make)


def source_names() -> list[str]:
    """The values of dataset.dataset_name."""
    return sorted(_SOURCES)


def image_level_names() -> list[str]:
    """The values of dataset.image_level_augmentations."""
    return sorted(levels.IMAGE_LEVEL)


def batch_level_names() -> list[str]:
    """The values of dataset.batch_level_augmentations."""
    return sorted(levels.BATCH_LEVEL)


def build_source(
    config,
    *,
    process_index: int = 0,
    process_count: int = 1,
    run_dir: Path | None = None,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    evaluate_on_train: bool = False,
    evaluate_as: Sequence[str] | None = None,
) -> DataSource:
    """Builds the data source that a config names.

    >>> source = build_source(gnp.load_config("digits", {"dataset.label_noise": 0.4}))
    >>> source.num_train_images, source.num_wrong_labels
    (1437, 522)

    Args:
      config: all fields of config/base.py.
      process_index, process_count: this process and the number of processes.
      run_dir: the run's folder, for the list of skipped images and the device source's cache of
        decoded images.
      normalization: mean and standard deviation of each channel, on the scale 0 to 1; None: those
        of the data set.
      evaluate_on_train: evaluate on the training images: each once, not augmented, with the labels
        used for training, noise included.
      evaluate_as: the classes of a run that is only evaluated: the training images, which name the
        classes otherwise, may be missing.

    Raises:
      UserError: a name is unknown, or the data do not match the config.
    """
    _check_loader(config.dataset)
    pipeline = settings.from_config(config, process_index, process_count)
    config = filled_in(config)
    pipeline = dataclasses.replace(pipeline, image_shape=in_memory.Form.of(config.dataset).shape)
    data = load_data(config)
    if data.missing:
        data = _labelled_as(data, None if evaluate_on_train else evaluate_as)
    if normalization:
        data = dataclasses.replace(data, mean=tuple(normalization[0]), std=tuple(normalization[1]))
    if evaluate_on_train:
        data = dataclasses.replace(data, test=_shuffled(data.train))
    checks.check_classes(data, config.dataset)
    if not data.in_memory:
        data = _read_files(data, config, run_dir, is_writer=process_index == 0)
    checks.name_absent_classes(data)
    checks.check_shape(data, config)
    source = _pipeline_class(data, pipeline, config.dataset)(data, pipeline)
    if run_dir is not None and (pipeline.augmentation.own or pipeline.batch_level.own):
        _try_augmentation(source)
    return source


def _try_augmentation(source):
    """Makes one batch, to know before training that a registered augmentation can."""
    import jax  # a pipeline of one's own loop does without

    batch = next(iter(source.train_batches(0)))
    jax.eval_shape(source.prepare, source.device_data, batch)


def filled_in(config: _Config) -> _Config:
    """The config with `dataset.num_classes` and `num_channels` of the data where they are unset.

    Raises:
      UserError: the name of the data set is unknown, or the data are missing or damaged.
    """
    unset = [name for name in ("num_classes", "num_channels") if config.dataset[name] is None]
    if not unset:
        return config
    filled = config.to_dict()
    for name in unset:
        find = getattr(_module(config), name, None)
        if find is None:
            given = config.dataset.dataset_name
            raise UserError(f"dataset.{name} is unset, and {given} does not say it; set it.")
        filled["dataset"][name] = find(config)
    return type(config)(filled)


def load_data(config) -> LabelledData:
    """The data set that a config names: images in memory, or a list of files.

    Raises:
      UserError: the name is unknown, or the data are missing or damaged.
    """
    checks.check_multi_label(config.dataset)
    config = filled_in(config)
    data = _module(config).load(config)
    checks.check_kind_of_labels(data, config.dataset)
    if data.missing:
        return dataclasses.replace(data, test=_shuffled(data.test))
    true_labels = data.train.labels
    data = label_noise.with_noise(data, config.dataset)
    train, test = data.train, data.test
    if not config.use_test_set:
        kept, held_out = partition.hold_out(true_labels)  # the same images with and without noise
        if not len(held_out):
            raise UserError(
                f"use_test_set=False evaluates on a tenth of the training set, which has only "
                f"{len(train)} images; add images, or set use_test_set=True."
            )
        train, test = train.take(kept), train.take(held_out)
        if data.label_noise is not None:
            _log.warning(
                "use_test_set=False evaluates on images of the training set, and %d of these %d "
                "have wrong labels.",
                len(label_noise.wrong_labels(test)),
                len(test),
            )
    train = partition.first_images(train, config.dataset.num_train_images)
    return dataclasses.replace(data, train=train, test=_shuffled(test))


def _module(config):
    name = config.dataset.dataset_name
    if name not in _SOURCES:
        raise unknown_name("data set", name, _SOURCES)
    found = _SOURCES[name]
    if isinstance(found, str):
        return importlib.import_module(f"gnp.ds_pipeline.datasets.{found}")
    return found


def _shuffled(examples):
    """Many sets are sorted by class. Shuffled, each batch has the classes of the whole set."""
    return examples.take(partition.split_order(len(examples)))


def _labelled_as(data, class_names):
    """Test images alone, labelled by all classes of a run instead of those that they are of."""
    if class_names is None:
        raise UserError(data.missing)
    unknown = [name for name in data.class_names if name not in class_names]
    if unknown:
        raise UserError(
            f"The test set has the class {unknown[0]!r}, which the run was not trained with; "
            "remove its images."
        )
    numbers = np.array([class_names.index(name) for name in data.class_names])
    labels = data.test.labels
    if labels.ndim == 1:
        labels = numbers[labels]
    else:
        columns = np.zeros((len(labels), len(class_names)), labels.dtype)
        columns[:, numbers] = labels
        labels = columns
    test = dataclasses.replace(data.test, labels=labels)
    return dataclasses.replace(data, test=test, class_names=list(class_names))


def _check_loader(dataset):
    if dataset.loader not in _LOADERS:
        raise unknown_name("dataset.loader", dataset.loader, _LOADERS)
    if dataset.loader == "device" and dataset.dataset_name in settings.PHOTO_SETS:
        raise UserError(
            f"dataset.loader=device holds images of one size, not the photos of "
            f"{dataset.dataset_name}; use dataset.loader=tfdata, or dataset_name=image_folder."
        )


def _read_files(data, config, run_dir, is_writer):
    dataset = config.dataset
    if dataset.on_bad_image == "skip":
        data = bad_images.without_bad_images(data, dataset.num_channels, run_dir, is_writer)
    elif dataset.on_bad_image != "error":
        raise unknown_name("dataset.on_bad_image", dataset.on_bad_image, ("error", "skip"))
    form = in_memory.Form.of(dataset)
    if dataset.loader == "device":
        cache = run_dir / in_memory.CACHE_FILE if run_dir else None
        return in_memory.read_into_memory(data, form, cache, is_writer)
    if dataset.dataset_name in settings.PHOTO_SETS:
        return data
    pixels = (len(data.train) + len(data.test)) * form.size**2 * form.channels
    if pixels <= dataset.memory_limit_gb * 1e9:
        return in_memory.read_into_memory(data, form)
    tensorflow_cpu.load(
        instead=f"raise dataset.memory_limit_gb from {dataset.memory_limit_gb:g} to at least the "
        f"{pixels / 1e9:.3g} that these images take in memory"
    )
    if data.mean:
        return data
    mean, std = in_memory.estimated_statistics(data.train, form)
    return dataclasses.replace(data, mean=mean, std=std)


def _pipeline_class(data, pipeline, dataset):
    if dataset.loader == "device":
        from gnp.ds_pipeline.loaders.device_source import DeviceSource

        return DeviceSource
    suits_numpy = dataset.dataset_name in _NUMPY_SOURCES or not tensorflow_cpu.is_installed()
    if data.in_memory and suits_numpy and pipeline.augmentation.policy is None:
        from gnp.ds_pipeline.loaders.numpy_source import NumpySource

        _log.info("The images are in memory, and numpy alone prepares them, without tensorflow.")
        return NumpySource
    if data.in_memory:
        from gnp.ds_pipeline.loaders.tf_source import TfSource

        return TfSource
    from gnp.ds_pipeline.loaders.tf_file_source import TfFileSource

    return TfFileSource
