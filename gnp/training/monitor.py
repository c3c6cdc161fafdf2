"""From metrics on the device to files and progress bar, without the host waiting."""

import collections
from typing import Any, NamedTuple

import jax

from gnp.runs.metrics import Writers
from gnp.training import parallel
from gnp.training.health import LAYER_NORMS, Health
from gnp.training.nonfinite import NonFiniteStep
from gnp.training.progress import Progress


class _SentSteps(NamedTuple):
    steps: range
    metrics: dict[str, Any]


class MetricsLog:
    """Holds the metrics of the steps under way and writes those that are done.

    Attributes:
      bad_step: the first step seen that was not finite, or None.
    """

    def __init__(
        self,
        writer: Writers | None,
        progress: Progress,
        *,
        every: int,
        health: Health | None = None,
    ):
        """Args:
        writer: gets the records; None: nothing is written.
        progress: is told of each step.
        every: steps between two records; the others are dropped.
        health: adds to the records.
        """
        self._writer = writer
        self._progress = progress
        self._every = every
        self._health = health
        self._is_shared = parallel.has_several_processes()
        self.bad_step: NonFiniteStep | None = None
        self._pending: collections.deque[_SentSteps] = collections.deque()

    def add(self, steps: range, metrics: dict[str, jax.Array]) -> None:
        """Takes the metrics of steps that may still be running.

        Args:
          steps: their numbers.
          metrics: of one step its metrics, of several arrays with a value for each.
        """
        self._pending.append(_SentSteps(steps, metrics))
        # Several processes must act on a bad step together, so they look at flushes only.
        while not self._is_shared and self._pending and _is_done(self._pending[0].metrics):
            self._write_oldest()
        self._progress.update(steps[-1], None)

    def flush(self) -> None:
        """Waits for all steps and writes their metrics."""
        while self._pending:
            self._write_oldest()

    def _write_oldest(self):
        steps, metrics = self._pending.popleft()
        metrics = jax.device_get(metrics)
        for index, step in enumerate(steps):
            is_alone = len(steps) == 1
            self._write(step, metrics if is_alone else {k: v[index] for k, v in metrics.items()})

    def _write(self, step, metrics):
        metrics = dict(metrics)
        layer_norms = metrics.pop(LAYER_NORMS, None)
        values = {f"train/{name}": value.item() for name, value in metrics.items()}
        which_pass = int(values.pop("train/nonfinite_pass"))
        if which_pass and self.bad_step is None:
            self.bad_step = NonFiniteStep(step, which_pass)
        if self._writer is not None and step % self._every == 0:
            extras = self._health.extras(step, values, layer_norms) if self._health else {}
            self._writer.write(step, values | extras)
        self._progress.update(step, values)


def _is_done(metrics):
    return all(value.is_ready() for value in metrics.values())
