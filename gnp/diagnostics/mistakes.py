"""The images that a classifier gets wrong."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from gnp.report.style import shortened

_LONGEST = 14  # characters of a name below a picture


class Mistake(NamedTuple):
    """An image whose predicted class is not the true one.

    Attributes:
      image: its number, from 0, in the order of evaluation.
      true, predicted: numbers of classes; predicted is None where the model computes no finite
        numbers.
      probability: of the predicted class; None without one.
      probability_of_true: of the true class.
    """

    image: int
    true: int
    predicted: int | None
    probability: float | None
    probability_of_true: float | None


def find_mistakes(logits: np.ndarray, labels: np.ndarray) -> list[Mistake]:
    """The misclassified images, the smallest probability of the true class first.

    Those without a prediction come before all others.

    Args:
      logits: images x classes.
      labels: images; the number of the true class.
    """
    is_predicted = np.isfinite(logits.max(axis=1))
    unpredicted = np.flatnonzero(~is_predicted)
    found = [Mistake(int(image), int(labels[image]), None, None, None) for image in unpredicted]
    wrong = np.flatnonzero(is_predicted & (logits.argmax(axis=1) != labels))
    for image, row in zip(wrong, softmax(logits[wrong].astype(np.float64), axis=1), strict=True):
        true, predicted = int(labels[image]), int(row.argmax())
        found.append(Mistake(int(image), true, predicted, float(row[predicted]), float(row[true])))
    return sorted(found, key=lambda mistake: mistake.probability_of_true or 0.0)


def as_csv(
    mistakes: Sequence[Mistake], class_names: Sequence[str], files: Sequence[str] | None
) -> str:
    """The mistakes with a header, as text.

    Args:
      mistakes: from `find_mistakes`.
      class_names: in the order of the labels.
      files: of all images, in the order of evaluation; None: they are no files.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "file", "true", "predicted", "probability", "probability_of_true"])
    for image, true, predicted, probability, of_true in mistakes:
        writer.writerow(
            [
                image,
                "" if files is None else files[image],
                class_names[true],
                "" if predicted is None else class_names[predicted],
                *("" if share is None else f"{share:.6g}" for share in (probability, of_true)),
            ]
        )
    return text.getvalue()


def caption(mistake: Mistake, class_names: Sequence[str]) -> str:
    """True and predicted class of an image, as text below its picture."""
    true = f"true: {shortened(class_names[mistake.true], _LONGEST)}"
    if mistake.predicted is None:
        return f"{true}\nno prediction"
    name = shortened(class_names[mistake.predicted], _LONGEST)
    return f"{true}\npredicted: {name} {100 * mistake.probability:.0f} %"
