"""How well scores rank the images of each class before all others."""

import numpy as np


def average_precisions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision of each class: sum over n of (R_n - R_{n-1}) P_n.

    P_n and R_n are precision and recall among the images whose score is at least the n-th largest
    one, as in Manning, Raghavan and Schütze, "Introduction to Information Retrieval" (section 8.4),
    and without interpolation. Images with the same score come in together, so the order of the
    images does not matter.

    >>> average_precisions(np.array([[3.0], [2.0], [1.0]]), np.array([[1], [0], [1]])).round(3)
    array([0.833])

    Args:
      scores: images x classes; larger is more of a yes.
      labels: images x classes; 1 for each of the classes that an image has, else 0.

    Returns:
      float64, classes; nan for a class without images, and for all if a score is not finite.
    """
    if not np.isfinite(scores).all():
        return np.full(np.shape(scores)[1], np.nan)
    return np.array([_of_class(*columns) for columns in zip(scores.T, labels.T, strict=True)])


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of `average_precisions` over the classes that have images; nan if none has.

    Args:
      scores, labels: see `average_precisions`.
    """
    of_classes = average_precisions(scores, labels)[np.any(labels, axis=0)]
    return float(of_classes.mean()) if len(of_classes) else np.nan


def _of_class(scores, is_yes):
    if not is_yes.any():
        return np.nan
    order = np.argsort(-scores)
    is_last_of_score = np.append(np.diff(scores[order]) != 0, True)
    found = np.cumsum(is_yes[order])[is_last_of_score]
    images = np.flatnonzero(is_last_of_score) + 1
    return np.sum(np.diff(found, prepend=0) * found / images) / found[-1]
