"""Classes of different size: weights of their images in the loss, and balanced sampling."""

import math
from typing import Any

import numpy as np

from gnp.errors import UserError

SAMPLING = ("shuffled", "balanced")

_FIELD = "dataset.class_weights"
_BALANCED = "balanced"


def check_weights(given: Any) -> None:
    """Makes sure that a value of dataset.class_weights is None, "balanced" or a list of weights.

    Raises:
      UserError: it is not.
    """
    if given is None or given == _BALANCED:
        return
    numbers = list(given) if isinstance(given, tuple | list) else None
    if not numbers or not all(type(w) in (int, float) and 0 <= w < math.inf for w in numbers):
        raise UserError(
            f"{_FIELD} is {given!r}; choose balanced, or a list of numbers of at least 0, one per "
            "class."
        )
    if not any(numbers):
        raise UserError(f"{_FIELD} is 0 for every class; give at least one a weight above 0.")


def class_weights(given: Any, labels: np.ndarray, count: int) -> np.ndarray | None:
    """The weight of each class in the training loss.

    Args:
      given: dataset.class_weights. "balanced" gives class c of n_c images the weight n / (C n_c),
        C the number of classes that have images: the mean over all n images is 1, and each class
        has the same total.
      labels: int64, n, of the training images.
      count: number of classes.

    Returns:
      float32, one per class; None: all images have the same weight.

    Raises:
      UserError: the list has another number of weights.
    """
    if given is None:
        return None
    if given == _BALANCED:
        images = np.bincount(labels, minlength=count)
        per_class = len(labels) / max(np.count_nonzero(images), 1)
        weights = per_class / np.maximum(images, 1)
        return np.where(images > 0, weights, 0).astype(np.float32)
    if len(given) != count:
        raise UserError(
            f"{_FIELD} has {len(given)} weights, but there are {count} classes; give one per class."
        )
    return np.asarray(given, np.float32)


def balanced_order(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Places of images for an epoch of as many images, in which the classes are of equal size.

    Each class that has images occurs equally often, to within one image. Within a class every image
    occurs equally often, to within once. Everything else is random.

    Args:
      labels: int64, n, of the training images.
      generator: of the epoch.

    Returns:
      int64, n.
    """
    classes = generator.permutation(np.unique(labels))
    class_of_place = generator.permutation(np.arange(len(labels)) % max(len(classes), 1))
    order = np.empty(len(labels), np.int64)
    for number, label in enumerate(classes):
        images, places = np.flatnonzero(labels == label), np.flatnonzero(class_of_place == number)
        rounds = -(-len(places) // len(images))
        repeated = np.concatenate([generator.permutation(images) for _ in range(rounds)])
        order[places] = repeated[: len(places)]
    return order
