"""What is watched while training: spikes of the loss, and each layer's gradient norm."""

import collections
import logging
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from gnp.regularization import tree
from gnp.training import remedies

LAYER_NORMS = "layer_gradient_norms"

_SPIKES = "train/loss_spikes"

# The standard deviation of a normal distribution over its median absolute deviation.
_DEVIATIONS_PER_MAD = 1.4826

# Losses that must be known before one can stand out from them.
_MIN_HISTORY = 20

# Smaller spikes are ignored, however steady the losses were: in nats.
_MIN_RISE = 0.1

_log = logging.getLogger(__name__)


class Health:
    """Looks at the records of a run as they are written.

    What it finds depends on the records alone, so a resumed run finds what an uninterrupted one
    does.
    """

    def __init__(self, settings: Any, params: Mapping, records: Sequence[Mapping[str, float]]):
        """Args:
        settings: `gnp.training.settings.run.LoggingSettings`.
        params: the model's parameters, for the names of its layers.
        records: the lines of `metrics.jsonl` so far.
        """
        self._every = settings.layer_norms_every
        self._layers = layer_names(params)
        self._detector = None
        self._num_spikes = 0
        self._is_in_spike = False
        if settings.loss_spike_threshold:
            self._detector = SpikeDetector(settings.loss_spike_threshold)
            self._replay([line for line in records if _SPIKES in line])

    def extras(
        self, step: int, values: Mapping[str, float], layer_norms: np.ndarray | None
    ) -> dict[str, float]:
        """What to record in addition to the values of a step.

        Args:
          step: its number, from 1.
          values: with `train/loss`.
          layer_norms: norms of the layers' gradients, if there are any.
        """
        extras = {}
        if self._detector is not None:
            self._look_for_spike(step, values["train/loss"])
            extras[_SPIKES] = self._num_spikes
        if layer_norms is not None and step % self._every == 0:
            extras |= _by_layer(self._layers, layer_norms)
        return extras

    def _replay(self, lines):
        """Only what is in the window counts, where losses that are not finite take no place."""
        finite = [i for i, line in enumerate(lines) if math.isfinite(line["train/loss"])]
        for line in lines[min(finite[-self._detector.window - 1 :], default=0) :]:
            self._is_in_spike = self._detector.add(line["train/loss"]) is not None
        if lines:
            self._num_spikes = lines[-1][_SPIKES]

    def _look_for_spike(self, step, loss):
        spike = self._detector.add(loss)
        if spike is not None:
            self._num_spikes += 1
        if spike is not None and not self._is_in_spike:
            _log.warning(
                "The loss of step %d is %.4g, %.1f robust standard deviations above the median "
                "%.4g of the records before it; if such spikes come often, %s.",
                step,
                spike.loss,
                spike.z,
                spike.median,
                remedies.SPIKE,
            )
        self._is_in_spike = spike is not None


def _by_layer(names: Iterable[str], norms: np.ndarray) -> dict[str, float]:
    return {
        f"train/layer_gradient_norm/{name}": float(norm)
        for name, norm in zip(names, norms, strict=True)
    }


def layer_names(params: Mapping) -> list[str]:
    """The paths of the modules that hold parameters, in the order of `layer_norms`."""
    return sorted({path.rpartition("/")[0] for path in _flat(params)})


def layer_norms(params: Mapping) -> jax.Array:
    """The Euclidean norm of all that each module itself holds: one number for each layer name."""
    layers: dict[str, list[jax.Array]] = {name: [] for name in layer_names(params)}
    for path, leaf in _flat(params).items():
        layers[path.rpartition("/")[0]].append(leaf)
    return jnp.stack([tree.global_norm(leaves) for leaves in layers.values()])


def _flat(params):
    return traverse_util.flatten_dict(params, sep="/")


class Spike(NamedTuple):
    """A loss that stands out.

    Attributes:
      loss: it.
      median: of the losses before.
      z: how many robust standard deviations are between them.
    """

    loss: float
    median: float
    z: float


class SpikeDetector:
    r"""Compares each loss with the window of losses before it by its robust z-score.

    :math:`z = (x - m) / (1.4826 \, d)`, m being the median of the window and d the median
    distance from it (Iglewicz and Hoaglin 1993). Spikes enter the window too: the median does not
    mind a few, and losses that stay high are soon no spikes.

    What comes out depends on the last `window` losses alone.

    >>> detector = SpikeDetector(threshold=10)
    >>> losses = [1.0 + 0.01 * (number % 3) for number in range(30)]
    >>> [detector.add(loss) for loss in losses].count(None)
    30
    >>> detector.add(5.0)
    Spike(loss=5.0, median=1.01, z=269...)
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
        """Takes the next loss; one that is not finite is ignored."""
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
