"""Errors and calibration of a classifier, and a picture of its confusion matrix."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax

from gnp.report.style import new_figure, plain, save_figure

_BINS = 15

# The picture has room for this many names of classes, of this length.
_MOST_NAMES = 40
_LONGEST_NAME = 30
_INCHES_PER_CHARACTER = 0.075


def classification_figures(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Errors, loss and calibration over a set, and the errors of each class.

    Where logits tie, the class with the smaller index counts as larger, as in training. An image
    whose largest logit is nan or infinite has no prediction: `error_rate`, `top_5_error_rate`,
    `loss` and `calibration_error` of a set with such an image are nan, and `confusion` is that of
    the others.

    Args:
      logits: images x classes; logarithms of probabilities are logits too.
      labels: images; the number of the true class.
      class_names: one name per class.

    Returns:
      `num_images`, `num_unpredicted` (images without a prediction), `error_rate` (top 1),
      `top_5_error_rate`, `loss` (mean negative logarithm of the true class's probability),
      `calibration_error`; `classes`: for each its `name`, number of `images`, `error_rate` (None
      without an image or without a prediction for one) and `predicted`, the number of images
      predicted as this class; and `confusion`: rows are true classes, columns predicted ones.
    """
    labels = np.asarray(labels)
    is_predicted = np.isfinite(logits.max(axis=1))
    scalars = dict.fromkeys(
        ("error_rate", "top_5_error_rate", "loss", "calibration_error"), math.nan
    )
    if is_predicted.all():
        scalars = _scalars(logits, labels)
    confusion = np.zeros((len(class_names),) * 2, int)
    predictions = logits[is_predicted].argmax(axis=1)
    np.add.at(confusion, (labels[is_predicted], predictions), 1)
    images = np.bincount(labels, minlength=len(class_names))
    return {
        "num_images": len(labels),
        "num_unpredicted": int(len(labels) - is_predicted.sum()),
        **scalars,
        "classes": [
            {
                "name": name,
                "images": int(count),
                "error_rate": float(1 - row[index] / count) if 0 < count == row.sum() else None,
                "predicted": int(confusion[:, index].sum()),
            }
            for index, (name, row, count) in enumerate(
                zip(class_names, confusion, images, strict=True)
            )
        ],
        "confusion": confusion.tolist(),
    }


def _scalars(logits, labels):
    ranks = _ranks(logits, labels)
    log_probabilities = log_softmax(np.asarray(logits), axis=1)
    truth = log_probabilities[np.arange(len(labels)), labels]
    return {
        "error_rate": float(np.mean(ranks >= 1)),
        "top_5_error_rate": float(np.mean(ranks >= 5)),
        "loss": float(-np.mean(truth)),
        "calibration_error": calibration_error(np.exp(log_probabilities), labels),
    }


def _ranks(logits, labels):
    """How many classes are ahead of the true one: larger, or equal with a smaller index."""
    truth = logits[np.arange(len(labels)), labels][:, None]
    is_before = np.arange(logits.shape[1]) < labels[:, None]
    return np.sum((logits > truth) | ((logits == truth) & is_before), axis=1)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error with 15 bins of equal width (arXiv 1706.04599, equation 3).

    Args:
      probabilities: images x classes.
      labels: images.

    Returns:
      The mean distance between the accuracy and the mean confidence of a bin, weighted by the
      images in each bin.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def draw_confusion(figures: dict[str, Any], out_path: str | os.PathLike) -> None:
    """Draws the confusion matrix, each row in percent of its class.

    Args:
      figures: from `classification_figures`.
      out_path: the PNG to write.
    """
    confusion = np.array(figures["confusion"])
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    names = [plain(_shortened(entry["name"])) for entry in figures["classes"]]
    side = min(max(4.0, 0.45 * len(names)), 16.0)
    margin = _INCHES_PER_CHARACTER * max(map(len, names)) if len(names) <= _MOST_NAMES else 0.0
    figure = new_figure(side + margin + 1.5, side + margin)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.8)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(names) <= _MOST_NAMES:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    if len(names) <= 12:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 50 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour)
    axes.set_title(f"{100 * figures['error_rate']:.2f} % error on {figures['num_images']:,} images")
    save_figure(figure, out_path)


def _shortened(name):
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
