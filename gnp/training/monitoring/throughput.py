"""How fast training goes, without the training loop waiting for the device.

A thread waits for each step that was sent to the device and notes when it is done. Over a window of
steps this gives:

    time/steps, time/seconds       what the window holds
    time/images_per_second         over all devices and processes
    time/step_ms_median, …_p95     from the end of a step to the end of the next one
    time/data_wait_ms, …_share     input stall per step, and as a share of all the time
    time/device_memory_gb, …_peak_gb   the fullest of this process's devices, where they tell
    time/model_tflops              per device and second, see `train_flops`
    time/model_flops_utilization   the same as a share of the device's peak, where that is known
    time/first_step_seconds        steps that compiled, where the window has such

These exclude steps that compile, and the time of evaluations and checkpoints.
"""

import collections
import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gnp.runs.writers import Writers
from gnp.training.monitoring.peak_flops import peak_flops
from gnp.training.step_schedule import StepBlock

WINDOW_STEPS = 100

_GIGABYTE = 1e9
_SECONDS_FOR_LAST_STEPS = 10.0
_END = object()


class TimedStep(NamedTuple):
    """One step that is done.

    Attributes:
      step: its number.
      passes: forward and backward passes that it took.
      seconds: from the end of the step before it, or from its batch being asked for, to its end.
      data_wait: how many of them no step ran because the batch was not there.
    """

    step: int
    passes: float
    seconds: float
    data_wait: float


class _SentSteps(NamedTuple):
    block: StepBlock
    passes: float
    compiles: bool
    asked: float  # when its batch was asked for, and
    arrived: float  # when it was there
    result: Any  # an array that is ready when the step is done


class Throughput:
    """Times the steps of a run and writes a record per window.

    A window ends after `WINDOW_STEPS` steps, and wherever training pauses.
    """

    def __init__(self, writer: Writers | None, *, batch_size: int, forward_flops: float | None):
        """Starts the thread.

        Args:
          writer: gets the records; None: they are dropped.
          batch_size: images per step, over all processes.
          forward_flops: FLOPs of a forward pass of one image; None: unknown.
        """
        self._writer = writer
        self._batch_size = batch_size
        self._forward_flops = forward_flops
        self._compiled: set[tuple[bool, int]] = set()
        self._asked = self._arrived = self._last_end = None
        self._sent: queue.Queue[_SentSteps | None] = queue.Queue()
        self._done: collections.deque[TimedStep] = collections.deque()
        self._compiled_steps: collections.deque[TimedStep] = collections.deque()
        self._thread = threading.Thread(target=self._watch, name="throughput", daemon=True)
        self._thread.start()

    def batches(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Passes batches on and notes how long each was waited for."""
        batches = iter(batches)
        while True:
            self._asked = time.monotonic()
            batch = next(batches, _END)
            self._arrived = time.monotonic()
            if batch is _END:
                return
            yield batch

    def add(self, block: StepBlock, passes: float, result: jax.Array) -> None:
        """Takes steps that were sent to the device together.

        Args:
          block: which steps. As many steps of one type are one program, so the first time they
            compile.
          passes: forward and backward passes in each.
          result: what they compute.
        """
        program = (block.is_penalized, block.count)
        compiles = program not in self._compiled
        self._compiled.add(program)
        self._sent.put(_SentSteps(block, passes, compiles, self._asked, self._arrived, result))
        if len(self._done) >= WINDOW_STEPS:
            self._write()

    def pause(self) -> None:
        """Waits for all steps and writes what there is; the next step starts anew."""
        self._sent.join()
        self._last_end = None
        self._write()

    def close(self) -> None:
        """Ends the thread."""
        self._sent.put(None)
        self._thread.join(_SECONDS_FOR_LAST_STEPS)

    def _watch(self):
        while (sent := self._sent.get()) is not None:
            # A step that fails is the training loop's to see.
            with contextlib.suppress(Exception):
                sent.result.block_until_ready()
                self._note(sent, time.monotonic())
            self._sent.task_done()

    def _note(self, sent, end):
        start = sent.asked if self._last_end is None else self._last_end
        self._last_end = end
        done = self._compiled_steps if sent.compiles else self._done
        data_wait = max(0.0, sent.arrived - max(start, sent.asked))
        count = sent.block.count
        for step in sent.block.steps:
            seconds, waited = (end - start) / count, data_wait / count
            done.append(TimedStep(step, sent.passes, seconds, waited))

    def _write(self):
        compiled, steps = _take_all(self._compiled_steps), _take_all(self._done)
        if self._writer is None or not compiled + steps:
            return
        record = {}
        if compiled:
            record["time/first_step_seconds"] = sum(step.seconds for step in compiled)
        if steps:
            record |= speed(steps, self._batch_size)
            record |= flops(steps, self._batch_size, self._forward_flops)
            record |= memory(jax.local_devices())
        self._writer.write(max(step.step for step in compiled + steps), record)


def _take_all(steps):
    return [steps.popleft() for _ in range(len(steps))]


def speed(steps: Sequence[TimedStep], batch_size: int) -> dict[str, float]:
    """Times of a window's steps."""
    seconds = [step.seconds for step in steps]
    waited = sum(step.data_wait for step in steps)
    median, percentile_95 = np.percentile(seconds, [50, 95])
    return {
        "time/steps": len(steps),
        "time/seconds": sum(seconds),
        "time/images_per_second": len(steps) * batch_size / sum(seconds),
        "time/step_ms_median": 1e3 * median,
        "time/step_ms_p95": 1e3 * percentile_95,
        "time/data_wait_ms": 1e3 * waited / len(steps),
        "time/data_wait_share": waited / sum(seconds),
    }


def flops(
    steps: Sequence[TimedStep], batch_size: int, forward_flops: float | None
) -> dict[str, float]:
    """What the model computed in a window, per device and second."""
    if forward_flops is None:
        return {}
    passes = sum(step.passes for step in steps)
    done = train_flops(forward_flops, passes) * batch_size
    rate = done / sum(step.seconds for step in steps) / jax.device_count()
    rates = {"time/model_tflops": rate / 1e12}
    peak = peak_flops(jax.devices()[0].device_kind)
    if peak is not None:
        rates["time/model_flops_utilization"] = rate / peak
    return rates


def train_flops(forward_flops: float, passes: float) -> float:
    """FLOPs of training on one image: a backward pass computes twice what the forward pass does.

    These are the model's own, those of its convolutions and matrix products (PaLM, arXiv
    2204.02311, appendix B): what is computed again to save memory does not count, nor do
    augmentation and optimizer.
    """
    return 3 * forward_flops * passes


def memory(devices: Sequence[Any]) -> dict[str, float]:
    """Memory in use and at its peak since the start; empty where devices do not tell."""
    stats = [device.memory_stats() for device in devices]
    if not all(stats):
        return {}
    names = {"bytes_in_use": "device_memory_gb", "peak_bytes_in_use": "device_memory_peak_gb"}
    return {
        f"time/{name}": max(stat[key] for stat in stats) / _GIGABYTE
        for key, name in names.items()
        if all(key in stat for stat in stats)
    }
