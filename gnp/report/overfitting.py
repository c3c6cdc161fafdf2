"""Where training and validation part: from there on a model learns its training set by heart."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Evaluations after the parting, at least: fewer show no trend.
_FEWEST_AFTER = 4
# The rise must be so many standard deviations of the validation loss's own noise.
_SIGNIFICANT = 4.0
# The median of |a − b| of two draws from a normal distribution, in its standard deviations.
_MEDIAN_DIFFERENCE = 0.954


class Parting(NamedTuple):
    """Where the validation loss began to rise while the training loss went on falling.

    Attributes:
      step: of the lowest of the three evaluations that the smallest smoothed validation loss is of.
      validation_loss: smoothed, there.
      later_validation_loss: its median over the later half of the evaluations after that step.
      train_loss: smoothed, there.
      later_train_loss: its median over the same later half.
    """

    step: int
    validation_loss: float
    later_validation_loss: float
    train_loss: float
    later_train_loss: float


def find_parting(metrics: Sequence[Mapping[str, float]]) -> Parting | None:
    """Finds where training and validation part.

    The training loss of an evaluation is the mean over the steps since the one before. Both losses
    are smoothed by the median of each with its two neighbours. They part at the smallest smoothed
    validation loss if, over the later half of the evaluations after it,

    - the median validation loss lies above it by more than four standard deviations of its own
      noise, which the median change from one evaluation to the next tells, and
    - the median training loss lies below the one there.

    Args:
      metrics: the lines of a `metrics.jsonl`, in order.

    Returns:
      The parting; None if they never part, or if fewer than four evaluations follow the smallest.
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
    parting = Parting(
        step=steps[lowest],
        validation_loss=smoothed[centre - 1],
        later_validation_loss=statistics.median(validation[later]),
        train_loss=_smooth(train)[centre - 1],
        later_train_loss=statistics.median(train[later]),
    )
    rises = parting.later_validation_loss - parting.validation_loss > _SIGNIFICANT * _noise(
        validation[lowest:]
    )
    return parting if rises and parting.later_train_loss < parting.train_loss else None


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
