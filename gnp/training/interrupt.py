"""Leaving cleanly when the system or the user asks for it."""

import os
import signal
import threading
from types import FrameType
from typing import Any

from gnp.training import parallel

# SIGUSR1 is what Slurm sends ahead of a time limit, where asked to.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interrupted(SystemExit):
    """The run was asked to stop and has saved its state.

    The exit code is the one given, or 128 + the signal.
    """

    def __init__(self, signal_number: int, message: str, exit_code: int = 0):
        super().__init__(exit_code or 128 + signal_number)
        self._message = message

    def __str__(self) -> str:
        return self._message


class StopRequest:
    """Notes SIGTERM, SIGINT and SIGUSR1 instead of dying of them; a second SIGINT does interrupt.

    Several processes must stop after the same step, which the JAX distributed runtime settles when
    one of them gets SIGTERM; so there SIGTERM is left to it, and the others are turned into it.

    Use as a context manager around the loop. Python gives signals to the main thread alone; a run
    in another thread does not hear of them.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._previous: dict[int, Any] = {}
        self._is_shared = parallel.has_several_processes()
        self._is_agreed = False
        self._num_blocks = 0

    def after_block(self) -> int | None:
        """The signal because of which to stop now, or None.

        Every process must ask exactly once after each of its blocks of steps.
        """
        self._num_blocks += 1
        return self.signal_at(self._num_blocks)

    def signal_at(self, block: int) -> int | None:
        """The signal because of which to stop after that block; they count from 1."""
        if not self._is_shared:
            return self._signal
        # The agreement is for one block alone, but a rollback may delay what it asks for.
        self._is_agreed = self._is_agreed or parallel.stop_is_agreed(block)
        return signal.SIGTERM if self._is_agreed else None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in _SIGNALS:
            if not (self._is_shared and number == signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT and self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
        if self._is_shared:
            os.kill(os.getpid(), signal.SIGTERM)
