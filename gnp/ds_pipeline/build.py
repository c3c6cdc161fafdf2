"""Data sources by name."""

import dataclasses
import importlib

from gnp.ds_pipeline import memory, partition, settings
from gnp.ds_pipeline.augment import names
from gnp.ds_pipeline.examples import LabelledData
from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError, unknown_name

# Name -> the module whose `load(config)` returns a LabelledData.
_SOURCES = {
    "digits": "digits",
    "image_folder": "image_folder",
}

# Those that are read without tensorflow, unless an augmentation needs it.
_NUMPY_SOURCES = ("digits",)


def source_names() -> list[str]:
    """The values of dataset.dataset_name."""
    return sorted(_SOURCES)


def image_level_names() -> list[str]:
    """The values of dataset.image_level_augmentations."""
    return sorted(names.IMAGE_LEVEL)


def batch_level_names() -> list[str]:
    """The values of dataset.batch_level_augmentations."""
    return sorted(names.BATCH_LEVEL)


def build_source(config, *, process_index: int = 0, process_count: int = 1) -> DataSource:
    """Makes the data source that a config names.

    Args:
      config: all fields of config/base.py.
      process_index, process_count: which process this is, of how many.

    Raises:
      UserError: a name is unknown, or the data do not fit the config.
    """
    name = config.dataset.dataset_name
    if name not in _SOURCES:
        raise unknown_name("data set", name, _SOURCES)
    pipeline = settings.from_config(config, process_index, process_count)
    loader = importlib.import_module(f"gnp.ds_pipeline.{_SOURCES[name]}")
    data = _selected(loader.load(config), config)
    if not data.in_memory:
        dataset = config.dataset
        data = memory.read_into_memory(data, dataset.image_size, dataset.num_channels)
    _check_shape(data, config)
    if name in _NUMPY_SOURCES and pipeline.augmentation.policy is None:
        from gnp.ds_pipeline.numpy_source import NumpySource

        return NumpySource(data, pipeline)
    from gnp.ds_pipeline.tf_source import TfSource

    return TfSource(data, pipeline)


def _selected(data: LabelledData, config) -> LabelledData:
    """The part of the data that the run trains and evaluates on."""
    train, test = data.train, data.test
    if not config.use_test_set:
        kept, held_out = partition.hold_out(train.labels)
        train, test = train.take(kept), train.take(held_out)
    train = partition.first_images(train, config.dataset.num_train_images)
    return dataclasses.replace(data, train=train, test=test)


def _check_shape(data, config):
    dataset = config.dataset
    size, channels = dataset.image_size, dataset.num_channels
    if data.train.images.shape[1:] != (size, size, channels):
        height, width, channels = data.train.images.shape[1:]
        raise UserError(
            f"The images of {dataset.dataset_name} are {height}x{width}x{channels}; set "
            f"dataset.image_size to {height} and dataset.num_channels to {channels}."
        )
    if len(data.class_names) != dataset.num_classes:
        raise UserError(
            f"dataset.num_classes is {dataset.num_classes}, but {dataset.dataset_name} has "
            f"{len(data.class_names)} classes; set it to that."
        )
