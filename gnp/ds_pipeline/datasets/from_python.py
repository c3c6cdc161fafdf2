"""Data that Python code gives: any objects with `len` and `[i] -> image, label`."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gnp.ds_pipeline.datasets import pairs
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError, reason

NAME = "python"  # as dataset.dataset_name

_KEYS = ("train", "test", "class_names")

_given = []


@dataclasses.dataclass(frozen=True)
class RegisteredSource:
    """A function under `register_source` in the place of a module of this folder.

    Attributes:
      name: of the data set.
      make: the function, of the config.
    """

    name: str
    make: Callable[[Any], Mapping[str, Any]]

    def load(self, config) -> LabelledData:
        """Reads all images.

        Raises:
          UserError: the function fails, or returns no images with labels.
        """
        return pairs.load(self._pairs(config), config)

    def num_classes(self, config) -> int:
        """The number of its class names, or else that of the labels."""
        return pairs.num_classes(self._pairs(config))

    def num_channels(self, config) -> int:
        """That of its first image."""
        return pairs.num_channels(self._pairs(config))

    def _pairs(self, config):
        name = f"The source {self.name}"
        try:
            source = self.make(config)
        except UserError:
            raise
        except Exception as error:  # whatever a user's function does
            raise UserError(
                f"{name} fails ({type(error).__name__}: {reason(error)}); fix the function that is "
                "registered, or the fields that it reads."
            ) from error
        return _checked(source, name)


@contextlib.contextmanager
def given(source: Mapping[str, Any]) -> Iterator[None]:
    """Makes a source the data of dataset.dataset_name=python meanwhile.

    Args:
      source: see `gnp.train`.

    Raises:
      UserError: it has other keys, or no `train`.
    """
    _given.append(_checked(source, "The source"))
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


def _checked(source, name):
    if not isinstance(source, Mapping) or "train" not in source or set(source) - set(_KEYS):
        shown = sorted(source) if isinstance(source, Mapping) else source
        raise UserError(
            f"{name} is {reason(repr(shown))}; give a dictionary with train, test and, if the "
            "classes have names, class_names."
        )
    train, test = (_as_pairs(source.get(part), f"{name}, {part}") for part in _KEYS[:2])
    names = source.get("class_names")
    labels = train.labels if isinstance(train, pairs.ArrayPairs) else None
    return pairs.PairSet(
        name, train, test, None if names is None else list(map(str, names)), labels
    )


def _as_pairs(part, name):
    """A part as it is, or of two arrays, images and labels."""
    if isinstance(part, tuple) and len(part) == 2 and np.ndim(part[1]) in (1, 2):
        return pairs.ArrayPairs(*part, name)
    return part
