"""Data sets through tensorflow-datasets."""

import os
from typing import Any

import numpy as np

from gnp.ds_pipeline import tensorflow_cpu
from gnp.ds_pipeline.labelled_data import Examples
from gnp.errors import UserError

_INSTEAD = "set dataset.data_dir to the folder of its published files"


def load(
    name: str, tfds_name: str, train_split: str, tfds_dir: str
) -> tuple[Examples, Examples, list[str]]:
    """Reads a set into memory, and first downloads and prepares it if necessary.

    Args:
      name: the data set's name in the config, for error messages.
      tfds_name: its name in tensorflow-datasets.
      train_split: the training split, such as "train+extra".
      tfds_dir: folder of prepared sets; "": the default of tensorflow-datasets.

    Returns:
      (training set, test set, class names)

    Raises:
      UserError: tensorflow-datasets is not installed, or the set is not prepared and cannot be
        downloaded.
    """
    found = prepared(name, tfds_name, tfds_dir, _INSTEAD)
    names = found.info.features["label"].names
    return _read(found, train_split), _read(found, "test"), list(names)


def prepared(name: str, tfds_name: str, tfds_dir: str, instead: str) -> Any:
    """The builder of a set, which it first downloads and prepares if necessary.

    Args:
      name, tfds_name, tfds_dir: see `load`.
      instead: what else the user may do where it cannot be had.

    Raises:
      UserError: as `load`.
    """
    tfds = tensorflow_cpu.load("tensorflow_datasets", instead)
    try:
        builder = tfds.builder(tfds_name, data_dir=os.path.expanduser(tfds_dir) or None)
        builder.download_and_prepare()
    except Exception as error:  # of many types: network, disk, packages
        raise UserError(
            f"{name} is neither prepared in tfds_dir ({tfds_dir or 'its default place'}) nor could "
            f"it be downloaded ({type(error).__name__}); {instead}."
        ) from error
    return builder


def _read(builder, split):
    data = builder.as_dataset(split=split, shuffle_files=False)
    data = data.map(lambda example: (example["image"], example["label"]))
    images, labels = [], []
    tf = tensorflow_cpu.load()
    for image, label in data.batch(1024).prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
        images.append(image)
        labels.append(label)
    return Examples(np.concatenate(images), np.concatenate(labels).astype(np.int64))
