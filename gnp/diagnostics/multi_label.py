"""Errors and rankings of a classifier that says yes or no to each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnp.training.average_precision import average_precisions, mean_average_precision


def decision_figures(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Errors, loss and average precision over a set whose images have any number of the classes.

    An image whose largest logit is nan or infinite has no prediction. All figures but the counts of
    images are nan then, or None in `classes`.

    Args:
      logits: images x classes.
      labels: images x classes; 1 for each of the classes that an image has, else 0.
      class_names: one name per class.

    Returns:
      `num_images`, `num_unpredicted` (images without a prediction), `mean_average_precision` over
      the classes that have images, `error_rate` (share of wrong decisions, a yes being a
      probability above 1/2), `loss` (mean binary cross entropy of images and classes); and
      `classes`: for each its `name`, number of `images`, `average_precision` (None without an
      image), `error_rate` and `predicted`, the number of images with a yes.
    """
    logits, is_yes = np.asarray(logits, np.float64), np.asarray(labels) > 0.5
    is_predicted = np.isfinite(logits.max(axis=1))
    scores = np.where(is_predicted[:, None], logits, np.nan)
    is_known = bool(is_predicted.all())
    of_decisions = np.where(np.isnan(scores), np.nan, (scores > 0) != is_yes)
    precisions = average_precisions(scores, is_yes)
    return {
        "num_images": len(logits),
        "num_unpredicted": int((~is_predicted).sum()),
        "mean_average_precision": mean_average_precision(scores, is_yes),
        "error_rate": float(of_decisions.mean()),
        # log(1 + exp(-z)) of a yes, log(1 + exp(z)) of a no.
        "loss": float(np.logaddexp(0, np.where(is_yes, -scores, scores)).mean()),
        "classes": [
            {
                "name": name,
                "images": int(is_yes[:, index].sum()),
                "average_precision": None if np.isnan(precision) else float(precision),
                "error_rate": float(of_decisions[:, index].mean()) if is_known else None,
                "predicted": int((scores[:, index] > 0).sum()),
            }
            for index, (name, precision) in enumerate(zip(class_names, precisions, strict=True))
        ],
    }
