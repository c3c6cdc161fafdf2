"""A data set before batching: images, or files of images, with labels."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images and labels in a fixed order.

    Attributes:
      images: uint8, n x height x width x channels; or n paths (str) of files that are read later.
      labels: int64, n: the number of the class; or uint8, n x classes: 1 for each of the classes
        that the image has, else 0.
      true_labels: int64, n: the labels of the source, where `labels` are noisy; else None.
      files: n paths (str) of the files that `images` were decoded from; None: there are none.
    """

    images: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray | None = None
    files: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def paths(self) -> np.ndarray | None:
        """Of the files that the images are of; None: there are none."""
        return self.images if self.images.dtype.kind == "U" else self.files

    def take(self, indices: np.ndarray) -> "Examples":
        arrays = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Examples(*(None if array is None else array[indices] for array in arrays))


def targets(xp: Any, labels: Any, num_classes: int) -> Any:
    """What a loss takes: float32, n x classes, of labels in either form of `Examples`.

    Args:
      xp: the library of the arrays, numpy or jax.numpy.
      labels: n or n x classes.
      num_classes: of the data set.
    """
    if labels.ndim == 1:
        labels = labels[:, None] == xp.arange(num_classes)
    return labels.astype(xp.float32)


def images_per_class(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The number of images of each class; an image of several classes counts for each of them."""
    if labels.ndim == 2:
        return labels.sum(axis=0, dtype=np.int64)
    return np.bincount(labels, minlength=num_classes)


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """A training and a test set.

    Attributes:
      train: the training set.
      test: the test or validation set.
      class_names: one name per class, in the order of the labels.
      mean, std: normalization constants per channel, on the scale 0 to 1; None: computed from the
        training images when these are read.
      label_noise: kind, share and seed of the noise in the training labels, or their file; None:
        the labels are those of the source.
      missing: why there are no training images, in a sentence; "": there are.
    """

    train: Examples
    test: Examples
    class_names: list[str]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    label_noise: Mapping[str, Any] | None = None
    missing: str = ""

    @property
    def in_memory(self) -> bool:
        return self.train.images.dtype == np.uint8
