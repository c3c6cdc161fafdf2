"""Data sets through tensorflow-datasets."""

import os

import numpy as np

from gnp.ds_pipeline.labelled_data import Examples
from gnp.ds_pipeline.tensorflow_cpu import tf
from gnp.errors import UserError


def load(
    name: str, tfds_name: str, train_split: str, tfds_dir: str
) -> tuple[Examples, Examples, list[str]]:
    """Reads a set, in memory; prepares it first where that was not done and a network is there.

    Args:
      name: the data set, as our users call it.
      tfds_name: as tensorflow-datasets calls it.
      train_split: what is trained on, such as "train+extra".
      tfds_dir: where prepared sets lie; "": the place that tensorflow-datasets chooses.

    Returns:
      (training set, test set, class names)

    Raises:
      UserError: it is not there and cannot be fetched.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"{name} is read through tensorflow-datasets, which is not installed; run pip install "
            "'.[data]', or set dataset.data_dir to the folder of its published files."
        ) from error
    try:
        builder = tfds.builder(tfds_name, data_dir=os.path.expanduser(tfds_dir) or None)
        builder.download_and_prepare()
    except Exception as error:  # from network, disk and packages alike
        raise UserError(
            f"{name} is neither prepared in tfds_dir ({tfds_dir or 'its default place'}) nor could "
            f"it be downloaded ({type(error).__name__}); set dataset.data_dir to the folder of "
            "its published files."
        ) from error
    names = builder.info.features["label"].names
    return _read(builder, train_split), _read(builder, "test"), list(names)


def _read(builder, split):
    data = builder.as_dataset(split=split, shuffle_files=False)
    data = data.map(lambda example: (example["image"], example["label"]))
    images, labels = [], []
    for image, label in data.batch(1024).prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
        images.append(image)
        labels.append(label)
    return Examples(np.concatenate(images), np.concatenate(labels).astype(np.int64))
