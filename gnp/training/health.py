"""What is watched while training: spikes of the loss, and each layer's gradient norm."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gnp.diagnostics import remedies
from gnp.diagnostics.layer_norms import layer_names
from gnp.diagnostics.spikes import SpikeDetector

LAYER_NORMS = "layer_gradient_norms"

_SPIKES = "train/loss_spikes"

_log = logging.getLogger(__name__)


class Health:
    """Looks at the records of a run as they are written.

    What it finds depends on the records alone, so a run that goes on finds what an uninterrupted
    one does.
    """

    def __init__(self, settings: Any, params: Mapping, records: Sequence[Mapping[str, float]]):
        """Args:
        settings: the config's block `logging`.
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
        """What to record beside the values of a step.

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
