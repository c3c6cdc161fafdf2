"""Data that Python code gives: any objects with `len` and `[i] -> image, label`."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gnp.ds_pipeline import pairs
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError, reason

NAME = "python"  # as dataset.dataset_name

_KEYS = ("train", "test", "class_names")

_given = []


@contextlib.contextmanager
def given(source: Mapping[str, Any]) -> Iterator[None]:
    """Makes a source the data of dataset.dataset_name=python meanwhile.

    Args:
      source: see `gnp.train`.

    Raises:
      UserError: it has other keys, or no `train`.
    """
    _given.append(_checked(source))
    try:
        yield
    finally:
        _given.pop()


def load(config) -> LabelledData:
    """Reads the images of the source that Python code gives.

    Raises:
      UserError: there is none, or it is not one of images and labels.
    """
    return pairs.load(_current(), config)


def num_classes(config) -> int:
    """The number of its class names, or else that of the labels."""
    del config
    return pairs.num_classes(_current())


def num_channels(config) -> int:
    """That of its first image."""
    del config
    return pairs.num_channels(_current())


def _current():
    if not _given:
        raise UserError(
            f"dataset.dataset_name is {NAME}, whose images only Python code can give: "
            "gnp.train(config, working_dir, source={'train': …, 'test': …}); commands take "
            "another data set with the same classes."
        )
    return _given[-1]


def _checked(source):
    if not isinstance(source, Mapping) or "train" not in source or set(source) - set(_KEYS):
        shown = sorted(source) if isinstance(source, Mapping) else source
        raise UserError(
            f"The source is {reason(repr(shown))}; give a dictionary with train, test and, if the "
            "classes have names, class_names."
        )
    train, test = (_as_pairs(source.get(part), f"The source, {part}") for part in _KEYS[:2])
    names = source.get("class_names")
    labels = train.labels if isinstance(train, pairs.ArrayPairs) else None
    return pairs.PairSet(
        "The source", train, test, None if names is None else list(map(str, names)), labels
    )


def _as_pairs(part, name):
    """A part as it is, or of two arrays, images and labels."""
    if isinstance(part, tuple) and len(part) == 2 and np.ndim(part[1]) == 1:
        return pairs.ArrayPairs(*part, name)
    return part
