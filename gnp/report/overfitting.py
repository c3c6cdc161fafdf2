"""The step at which overfitting starts: the validation loss rises, the training loss falls."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Fewer evaluations after the step at which overfitting starts show no trend.
_FEWEST_AFTER = 4
# The validation loss must rise by this many standard deviations of its own noise.
_SIGNIFICANT = 4.0
# The median of |a − b| of two samples of a normal distribution, in its standard deviations.
_MEDIAN_DIFFERENCE = 0.954


class Overfitting(NamedTuple):
    """Where the validation loss starts to rise while the training loss continues to fall.

    Attributes:
      step: at which overfitting starts: that of the lowest of the three evaluations whose median is
        the smallest smoothed validation loss.
      validation_loss: smoothed, at that step.
      later_validation_loss: its median over the later half of the evaluations after that step.
      train_loss: smoothed, at that step.
      later_train_loss: its median over the same later half.
    """

    step: int
    validation_loss: float
    later_validation_loss: float
    train_loss: float
    later_train_loss: float


def find_overfitting(metrics: Sequence[Mapping[str, float]]) -> Overfitting | None:
    """Finds the step at which overfitting starts.

    The training loss of an evaluation is the mean over the steps since the previous one. Both
    losses are smoothed by the median of each with its two neighbours. Overfitting starts at the
    smallest smoothed validation loss if, over the later half of the evaluations after it,

    - the median validation loss is higher by more than four standard deviations of its own noise,
      estimated from the median change between successive evaluations, and
    - the median training loss is lower.

    Args:
      metrics: the lines of a `metrics.jsonl`, in order.

    Returns:
      None if the run does not overfit, or if fewer than four evaluations follow the smallest.
    """
    steps, train, validation = _losses(metrics)
    smoothed = _smooth(validation)
    if len(smoothed) < _FEWEST_AFTER:
        return None
    centre = 1 + smoothed.index(min(smoothed))
    lowest = min((centre, centre - 1, centre + 1), key=validation.__getitem__)
    after = len(validation) - 1 - lowest
    if after < _FEWEST_AFTER:
        return None
    later = slice(len(validation) - after // 2, None)
    found = Overfitting(
        step=steps[lowest],
        validation_loss=smoothed[centre - 1],
        later_validation_loss=statistics.median(validation[later]),
        train_loss=_smooth(train)[centre - 1],
        later_train_loss=statistics.median(train[later]),
    )
    increase = found.later_validation_loss - found.validation_loss
    is_significant = increase > _SIGNIFICANT * _noise(validation[lowest:])
    return found if is_significant and found.later_train_loss < found.train_loss else None


def _losses(metrics):
    """Step, training loss and validation loss of each evaluation that has both."""
    found, since = [], []
    for line in metrics:
        if math.isfinite(line.get("train/loss", math.nan)):
            since.append(line["train/loss"])
        if math.isfinite(line.get("eval/loss", math.nan)) and since:
            found.append((line["step"], statistics.fmean(since), line["eval/loss"]))
            since = []
    return [list(column) for column in zip(*found, strict=True)] or ([], [], [])


def _smooth(values):
    """Medians of three neighbours, one for each value but the first and the last."""
    return [statistics.median(values[i - 1 : i + 2]) for i in range(1, len(values) - 1)]


def _noise(values):
    changes = [abs(b - a) for a, b in itertools.pairwise(values)]
    return statistics.median(changes) / _MEDIAN_DIFFERENCE
