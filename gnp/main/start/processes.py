"""Trainings as processes of their own, one after another or several at a time."""

import collections
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from gnp.errors import UserError
from gnp.main.start.exit_codes import Exit
from gnp.runs.find import is_finished, read_summary
from gnp.runs.folder import SUMMARY_FILE
from gnp.runs.lock import is_in_use
from gnp.training.interrupt import Interrupted

_TRAIN = (sys.executable, "-P", "-m", "gnp.main.main")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_GPUS = "CUDA_VISIBLE_DEVICES"
_SECONDS_BETWEEN_LOOKS = 0.2


def train_missing(trainings: Sequence[Any], parallel: int) -> list[str]:
    """Trains what is not finished, and prints a line for each.

    A single one at a time shows its progress; of several only the lines are seen. A signal is
    passed on to all of them. One that another process trains, such as of a start of the same
    command that was killed, is waited for. GPUs that `CUDA_VISIBLE_DEVICES` lists are shared out.

    Args:
      trainings: with `name`, `flags` and `folder`.
      parallel: how many run at the same time.

    Returns:
      Of those that could not continue, such as by a radius that is too large: names and reasons.

    Raises:
      UserError: a training was refused; the others under way have ended.
      Interrupted: a signal came; the trainings under way have saved their states.
    """
    waiting = collections.deque(t for t in trainings if not is_finished(t.folder))
    done = len(trainings) - len(waiting)
    _say(f"{done} of {len(trainings)} trainings are there already.")
    failed, refused, running, awaited = [], [], [], set()
    with _Signals() as signals:
        while running or (waiting and not refused and not signals.number):
            while waiting and len(running) < parallel and not refused and not signals.number:
                if is_in_use(waiting[0].folder):
                    _say_once(waiting[0], awaited)
                    break
                running.append(_Process(waiting.popleft(), parallel, running))
            signals.pass_on(running)
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            for process in [p for p in running if p.has_ended()]:
                running.remove(process)
                if process.code == 0:
                    done += 1
                    _say(f"{done}/{len(trainings)}  {process.training.name}: {process.result()}")
                elif process.code == Exit.BAD_INPUT and is_in_use(process.training.folder):
                    waiting.appendleft(process.training)
                elif not signals.number:
                    (failed if process.gave_up else refused).append(process.failure())
    if signals.number:
        message = (
            f"Stopped with {done} of {len(trainings)} trainings done; the same command resumes."
        )
        raise Interrupted(signals.number, message)
    if refused:
        raise UserError(f"{refused[0]} {len(trainings) - done} trainings are missing.")
    return failed


class _Process:
    """The process of a training.

    Attributes:
      training: what it trains.
      slot: which of the processes at the same time it is.
      code: its exit code; None: it runs.
    """

    code: int | None = None

    def __init__(self, training, parallel, others):
        self.training = training
        self.slot = min({*range(parallel)} - {other.slot for other in others})
        self._errors = None if parallel == 1 else tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*_TRAIN, *training.flags],
            env={**os.environ, **_gpus(self.slot, parallel)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # a signal of the terminal reaches it once, from here
        )

    def has_ended(self):
        self.code = self._process.poll()
        return self.code is not None

    def send(self, number):
        if self._process.poll() is None:
            self._process.send_signal(number)

    def result(self):
        summary = read_summary(self.training.folder / SUMMARY_FILE)
        return f"{100 * summary['final']['eval/error_rate']:.2f} %, {summary['seconds']:.0f} s"

    @property
    def gave_up(self):
        return self.code == Exit.TRAINING_FAILED

    def failure(self):
        """A sentence about how it ended."""
        what = "could not continue" if self.gave_up else f"ended with code {self.code}"
        return f"{self.training.name} {what}{self._last_words()}"

    def _last_words(self):
        if self._errors is None:
            return ", see above."
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines() or ["it said nothing."]
        return f": {lines[-1]}"


def _gpus(slot, parallel):
    """The share of the GPUs of one of several processes, where each can have one."""
    listed = [gpu for gpu in os.environ.get(_GPUS, "").split(",") if gpu]
    return {_GPUS: ",".join(listed[slot::parallel])} if len(listed) >= parallel else {}


class _Signals:
    """Notes signals while it is open, to pass them on when all processes are known.

    Attributes:
      number: of the first signal; None: none came.
    """

    number: int | None = None

    def __init__(self):
        self._waiting = collections.deque()

    def __enter__(self):
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def pass_on(self, processes):
        while self._waiting:
            number = self._waiting.popleft()
            for process in processes:
                process.send(number)

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        del frame
        self.number = self.number or number
        self._waiting.append(number)


def _say_once(training, awaited):
    if training.name not in awaited:
        awaited.add(training.name)
        _say(f"{training.name} is trained by another process already; waiting for its end.")


def _say(line):
    print(line, file=sys.stderr, flush=True)
