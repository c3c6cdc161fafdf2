"""Ways for a run to be interrupted."""

import os
import signal

import numpy as np

from gnp.training.interrupt import StopRequest
from tests.training.toy import ToySource


class InterruptedSource(ToySource):
    """Sends this process a signal before one of the training batches."""

    def __init__(self, *, before_batch, number=signal.SIGTERM, **kwargs):
        super().__init__(**kwargs)
        self._left = before_batch
        self._number = number

    def train_batches(self, epoch, first_step=0):
        for batch in super().train_batches(epoch, first_step):
            if self._left == 0:
                os.kill(os.getpid(), self._number)
            self._left -= 1
            yield batch


class DyingSource(ToySource):
    """Raises in place of one of the training batches, as a crash would."""

    def __init__(self, *, before_batch, **kwargs):
        super().__init__(**kwargs)
        self._left = before_batch

    def train_batches(self, epoch, first_step=0):
        for batch in super().train_batches(epoch, first_step):
            if self._left == 0:
                raise OSError("the disk is gone")
            self._left -= 1
            yield batch


class PoisonedSource(ToySource):
    """The images of some steps, counted from 1, hold a NaN."""

    def __init__(self, *steps, **kwargs):
        super().__init__(**kwargs)
        self._steps = steps

    def train_batches(self, epoch, first_step=0):
        for index, batch in enumerate(super().train_batches(epoch, first_step), first_step):
            if epoch * 4 + index + 1 in self._steps:
                batch["image"] = np.full_like(batch["image"], np.nan)
            yield batch


def stop_after(block, monkeypatch):
    """Makes the next run stop after that block of steps as if it had got SIGTERM."""
    signals = {block: signal.SIGTERM}
    monkeypatch.setattr(StopRequest, "signal_at", lambda self, block: signals.pop(block, None))
