"""Errors, confusions and calibration of a classifier, and a picture of its confusions."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax

from gnp.report.style import BLUE, new_figure, plain, save_figure, shortened, tidy

_BINS = 15

# With no more classes than these, a top-5 error says nothing.
_TOP = 5

# With more classes there are the largest confusions alone, and not all of them as a matrix. The
# picture has room for this many names of classes, of this length.
_MOST_NAMES = 40
_MOST_CONFUSIONS = 50
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
      `top_5_error_rate` (with more than five classes), `loss` (mean negative logarithm of the true
      class's probability), `calibration_error`; `classes`: for each its `name`, number of `images`,
      `error_rate` (None without an image or without a prediction for one) and `predicted`, the
      number of images predicted as this class; `confusions`: the largest 50, each with the `true`
      and the `predicted` class and the number of `images`; and `confusion`, with up to 40 classes:
      rows are true classes, columns predicted ones.
    """
    labels, count = np.asarray(labels), len(class_names)
    is_predicted = np.isfinite(logits.max(axis=1))
    true, predicted = labels[is_predicted], logits[is_predicted].argmax(axis=1)
    images, with_prediction = (np.bincount(x, minlength=count) for x in (labels, true))
    right = np.bincount(true[true == predicted], minlength=count)
    figures = {
        "num_images": len(labels),
        "num_unpredicted": int(len(labels) - is_predicted.sum()),
        **(_scalars(logits, labels) if is_predicted.all() else _no_scalars(count)),
        "classes": [
            {
                "name": name,
                "images": int(images[index]),
                "error_rate": (
                    float(1 - right[index] / images[index])
                    if 0 < images[index] == with_prediction[index]
                    else None
                ),
                "predicted": int(total),
            }
            for index, (name, total) in enumerate(
                zip(class_names, np.bincount(predicted, minlength=count), strict=True)
            )
        ],
        "confusions": _largest_confusions(true, predicted, class_names),
    }
    if count <= _MOST_NAMES:
        confusion = np.zeros((count, count), int)
        np.add.at(confusion, (true, predicted), 1)
        figures["confusion"] = confusion.tolist()
    return figures


def _largest_confusions(true, predicted, class_names):
    """The pairs of classes that are confused most often, those that tie in the order of classes."""
    is_wrong = true != predicted
    pairs, counts = np.unique(
        np.stack([true[is_wrong], predicted[is_wrong]]), axis=1, return_counts=True
    )
    return [
        {
            "true": class_names[pairs[0, index]],
            "predicted": class_names[pairs[1, index]],
            "images": int(counts[index]),
        }
        for index in np.argsort(-counts, kind="stable")[:_MOST_CONFUSIONS]
    ]


def _no_scalars(num_classes):
    names = ["error_rate", "top_5_error_rate", "loss", "calibration_error"]
    return {name: math.nan for name in names if name != "top_5_error_rate" or num_classes > _TOP}


def _scalars(logits, labels):
    ranks = _ranks(logits, labels)
    log_probabilities = log_softmax(np.asarray(logits), axis=1)
    truth = log_probabilities[np.arange(len(labels)), labels]
    top_5 = {"top_5_error_rate": float(np.mean(ranks >= _TOP))} if logits.shape[1] > _TOP else {}
    return {
        "error_rate": float(np.mean(ranks >= 1)),
        **top_5,
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

    With more than 40 classes it draws the largest confusions in its place.

    Args:
      figures: from `classification_figures`.
      out_path: the PNG to write.
    """
    draw = _draw_matrix if "confusion" in figures else _draw_largest
    figure, axes = draw(figures)
    axes.set_title(f"{100 * figures['error_rate']:.2f} % error on {figures['num_images']:,} images")
    save_figure(figure, out_path)


def _draw_matrix(figures):
    confusion = np.array(figures["confusion"])
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    names = [plain(shortened(entry["name"], _LONGEST_NAME)) for entry in figures["classes"]]
    side = min(max(4.0, 0.45 * len(names)), 16.0)
    margin = _INCHES_PER_CHARACTER * max(map(len, names))
    figure = new_figure(side + margin + 1.5, side + margin)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.8)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    if len(names) <= 12:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 50 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour)
    return figure, axes


def _draw_largest(figures):
    confusions = figures["confusions"][:_MOST_NAMES]
    names = [
        plain(" → ".join(shortened(c[kind], _LONGEST_NAME) for kind in ("true", "predicted")))
        for c in confusions
    ]
    figure = new_figure(9.0, 1.5 + 0.22 * len(names))
    axes = figure.add_subplot()
    tidy(axes, "", "images", "true class → predicted class")
    axes.barh(range(len(names)), [c["images"] for c in confusions], color=BLUE)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    return figure, axes
