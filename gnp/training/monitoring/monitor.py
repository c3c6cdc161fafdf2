"""What is seen of a run while it trains: progress, metrics, timings, profile."""

import collections
import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from gnp.runs.config_file import MARK, Change
from gnp.runs.writers import Writers, open_writers
from gnp.training import parallel
from gnp.training.monitoring.health import LAYER_NORMS, Health
from gnp.training.monitoring.profiling import Profiler
from gnp.training.monitoring.progress import Progress
from gnp.training.monitoring.throughput import Throughput
from gnp.training.nonfinite import NonFiniteStep
from gnp.training.position import Position, RunLength
from gnp.training.step_schedule import StepBlock


class Monitor:
    """Shows and records a run, without the host waiting for the device.

    The first process alone shows and writes. Use as a context manager.
    """

    def __init__(
        self,
        settings: Any,
        folder: pathlib.Path,
        position: Position,
        params: Any,
        *,
        length: RunLength,
        forward_flops: float | None = None,
    ):
        """Opens the files.

        Args:
          settings: `gnp.training.settings.run.LoggingSettings`.
          folder: the run's folder; it exists.
          position: where the run stands.
          params: the model's parameters, for the names of its layers.
          length: of the run.
          forward_flops: FLOPs of the model's forward pass of one image; None: unknown.

        Raises:
          UserError: a file of the run is damaged; or Weights & Biases cannot be used.
        """
        is_writer = jax.process_index() == 0
        with contextlib.ExitStack() as resources:
            self._progress = Progress(length, position.step, show=is_writer)
            resources.callback(self._progress.close)
            self._files, self._writer, timings_writer, health = None, None, None, None
            if is_writer:
                self._files, shown = open_writers(
                    folder, position, settings.wandb_config, resources
                )
                self._writer = Writers(self._files.metrics, *shown)
                timings_writer = Writers(self._files.timings, *shown)
                health = Health(settings, params, self._files.metrics.lines())
            self._throughput = Throughput(
                timings_writer, batch_size=length.batch_size, forward_flops=forward_flops
            )
            resources.callback(self._throughput.close)
            profiled = settings.profile_steps if is_writer else range(0)
            self._profiler = Profiler(profiled, folder, wait=self._throughput.pause)
            resources.callback(self._profiler.close)
            self._log = _MetricsLog(self._writer, self._progress, settings.every_n_steps, health)
            self._resources = resources.pop_all()

    @property
    def bad_step(self) -> NonFiniteStep | None:
        """The first step seen that was not finite."""
        return self._log.bad_step

    def forget_bad_step(self) -> None:
        """Lets the next one be seen."""
        self._log.bad_step = None

    def batches(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Passes batches on and notes how long each was waited for."""
        return self._throughput.batches(batches)

    def profiling(self, steps: range) -> contextlib.AbstractContextManager:
        """Traces the steps taken inside, if the run asks for it."""
        return self._profiler.steps(steps)

    def add(self, block: StepBlock, metrics: dict[str, jax.Array], passes: float) -> None:
        """Takes the metrics of steps that may still be running.

        Args:
          block: which steps.
          metrics: of one step its metrics, of several arrays with a value for each.
          passes: forward and backward passes in each step.
        """
        self._log.add(block.steps, metrics)
        self._throughput.add(block, passes, metrics["loss"])

    def add_skipped(self, step: int) -> None:
        """Records that a step was not taken."""
        self._log.flush()
        self._write(step, {"train/left_out": 1})

    def add_evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records an evaluation."""
        self._write(step, metrics)
        self._progress.update(step, metrics)

    def mark_changes(self, step: int, changes: Iterable[Change]) -> None:
        """Records what holds from the next step on; what is recorded already is not repeated.

        Args:
          step: the number of steps taken.
          changes: numbers among them become metrics, `config/FIELD`.
        """
        for change in changes:
            line = {"step": step, f"{MARK}{change.field}": change.new}
            is_number = type(change.new) in (int, float)
            if step and is_number and line not in self._files.metrics.lines():
                self._write(step, {f"{MARK}{change.field}": change.new})

    def flush(self) -> None:
        """Waits for all steps and writes what is known of them."""
        self._throughput.pause()
        self._log.flush()

    def recorded(self, position: Position) -> Position:
        """The position with what the files hold; one that was deleted is put back.

        Must be called between `flush` and the next step.
        """
        if self._files is None:
            return position
        for file in self._files:
            file.sync()
        return position._replace(
            recorded_metrics=self._files.metrics.recorded,
            recorded_timings=self._files.timings.recorded,
        )

    def records(self) -> "Records":
        """All that was recorded, whether or not it is on disk."""
        if self._files is None:
            return Records([], [], [])
        metrics, timings = (file.lines() for file in self._files)
        return Records(metrics, timings, [file.name for file in self._files if not file.sync()])

    def note(self, text: str) -> None:
        """Shows a line."""
        self._progress.note(text)

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._resources.close()

    def _write(self, step, metrics):
        if self._writer is not None:
            self._writer.write(step, metrics)


class Records(NamedTuple):
    """The records of a run.

    Attributes:
      metrics, timings: the lines of these files.
      lost: the files that lack some of them, as they cannot be written.
    """

    metrics: list[dict]
    timings: list[dict]
    lost: list[str]


class _SentSteps(NamedTuple):
    steps: range
    metrics: dict[str, Any]


class _MetricsLog:
    """Holds the metrics of the steps under way and writes those that are done.

    Attributes:
      bad_step: the first step seen that was not finite, or None.
    """

    def __init__(
        self, writer: Writers | None, progress: Progress, every_n_steps: int, health: Health | None
    ):
        """Args:
        writer: gets the records; None: nothing is written.
        progress: is told of each step.
        every_n_steps: steps between two records; the others are dropped.
        health: adds to the records.
        """
        self._writer = writer
        self._progress = progress
        self._every = every_n_steps
        self._health = health
        self._is_shared = parallel.has_several_processes()
        self.bad_step: NonFiniteStep | None = None
        self._pending: collections.deque[_SentSteps] = collections.deque()

    def add(self, steps, metrics):
        self._pending.append(_SentSteps(steps, metrics))
        # Several processes must act on a bad step together, so they look at flushes only.
        while not self._is_shared and self._pending and _is_done(self._pending[0].metrics):
            self._write_oldest()
        self._progress.update(steps[-1], None)

    def flush(self):
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
