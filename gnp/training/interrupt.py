"""Leaving cleanly when the system or the user asks for it."""

import signal
from types import FrameType
from typing import Any


class Interrupted(SystemExit):
    """The run was asked to stop and has saved its state. The exit code is 128 + the signal."""

    def __init__(self, signal_number: int, message: str):
        super().__init__(128 + signal_number)
        self._message = message

    def __str__(self) -> str:
        return self._message


class StopRequest:
    """Notes SIGTERM and SIGINT instead of dying of them; a second SIGINT does interrupt.

    Use as a context manager around the loop, and look at `signal_number` after each step.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT and self.signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = number
