"""What is read from a data set before it is batched: images or files with their labels."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images and labels in a fixed order.

    Attributes:
      images: uint8, n x height x width x channels; or n paths (str) of files to be read later.
      labels: int64, n.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Examples":
        return Examples(self.images[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """A data set as it is published.

    Attributes:
      train: the training set.
      test: the test or validation set.
      class_names: one name per class, in the order of the labels.
      mean, std: per channel, on the scale 0 to 1, to normalize the images with; None: those of
        the images that are trained on, found when they are read.
    """

    train: Examples
    test: Examples
    class_names: list[str]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def in_memory(self) -> bool:
        return self.train.images.dtype == np.uint8
