"""Arrays in an .npz file."""

import functools
import zipfile
from pathlib import Path

import numpy as np

from gnp.ds_pipeline.datasets import pairs
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError, reason

_FIELD = "dataset.data_dir"
_KEYS = "train_image, train_label, test_image, test_label"


def load(config) -> LabelledData:
    """Reads dataset.data_dir, a file with the arrays train_image, train_label and the same of test.

    An image is uint8 of height x width [x channels], a label a whole number, or a row of 0 and 1
    over the classes. The array class_names may name the classes.
    """
    return pairs.load(_open(config, images=True), config)


def num_classes(config) -> int:
    """That of the labels, or of class_names."""
    return pairs.num_classes(_open(config, images=False))


def num_channels(config) -> int:
    """That of the training images."""
    return pairs.num_channels(_open(config, images=True))


def _open(config, *, images):
    """The arrays that are needed; without the images, which may be large, their labels alone."""
    path = Path(config.dataset.data_dir)
    name = f"{path} ({_FIELD})"
    if not path.is_file():
        raise UserError(f"{name} is not a file; name an .npz file with the arrays {_KEYS}.")
    try:
        with np.load(path, allow_pickle=False) as content:
            read = functools.partial(_part, content, name, images)
            train, test = read("train"), read("test")
            names = content["class_names"].tolist() if "class_names" in content else None
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(
            f"{name} cannot be read ({reason(error)}); save it with np.savez, with the arrays "
            f"{_KEYS}."
        ) from error
    if train is None and test is None:
        raise UserError(f"{name} has none of the arrays {_KEYS}; add them.")
    names = names and [str(label) for label in names]
    return pairs.PairSet(name, train, test, names, train and train.labels)


def _part(content, name, images, part):
    """A part of the data; None if the file has none."""
    keys = [f"{part}_{kind}" for kind in ("image", "label")]
    there = [key for key in keys if key in content]
    missing = [key for key in keys if key not in content]
    if not there:
        return None
    if missing:
        raise UserError(f"{name} has {there[0]}, but not {missing[0]}; add it.")
    labels = content[keys[1]]
    if labels.ndim not in (1, 2):
        raise UserError(
            f"{name}: {keys[1]} has the shape {labels.shape}; give a number per image, or images x "
            "classes of 0 and 1."
        )
    return pairs.ArrayPairs(content[keys[0]] if images else labels, labels, f"{name}, {part}")
