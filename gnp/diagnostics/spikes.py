"""Finds losses that stand out from those before them."""

import collections
import math
import statistics
from typing import NamedTuple

# The standard deviation of a normal distribution over its median absolute deviation.
_DEVIATIONS_PER_MAD = 1.4826

# Losses that must be known before one can stand out from them.
_MIN_HISTORY = 20

# A rise that is smaller is none to care about, however steady the losses were: in nats.
_MIN_RISE = 0.1


class Spike(NamedTuple):
    """A loss that stands out.

    Attributes:
      loss: it.
      median: of the losses before.
      z: how many robust standard deviations lie between.
    """

    loss: float
    median: float
    z: float


class SpikeDetector:
    """Compares each loss with the window of losses before it by its robust z-score.

    z = (x − median) / (1.4826 · MAD), MAD being the median distance of the window from its median
    (Iglewicz and Hoaglin 1993). Spikes enter the window too: the median does not mind a few, and
    losses that stay high are soon no spikes.

    What comes out depends on the last `window` losses alone.
    """

    def __init__(self, threshold: float, window: int = 100):
        """Args:
        threshold: a spike has at least this z.
        window: losses to compare with.
        """
        self._threshold = threshold
        self._recent: collections.deque[float] = collections.deque(maxlen=window)

    @property
    def window(self) -> int:
        return self._recent.maxlen

    def add(self, loss: float) -> Spike | None:
        """Takes the next loss; one that is not finite is passed over."""
        if not math.isfinite(loss):
            return None
        spike = self._compared(loss) if len(self._recent) >= _MIN_HISTORY else None
        self._recent.append(loss)
        return spike

    def _compared(self, loss):
        median = statistics.median(self._recent)
        if loss - median < _MIN_RISE:
            return None
        mad = statistics.median(abs(x - median) for x in self._recent)
        z = (loss - median) / (_DEVIATIONS_PER_MAD * mad) if mad else math.inf
        return Spike(loss, median, z) if z >= self._threshold else None
