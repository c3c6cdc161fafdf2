"""Telling which of several processes was lost, before JAX ends the others.

JAX ends all processes 50 to 100 seconds after the last sign of life of one, from C++: no Python
code runs then. So every process counts in the key-value store of the JAX distributed runtime, and
looks whether the others do. The store is in the first process. If that one is lost, JAX ends the
others at once, and only its own message says why.
"""

import atexit
import os
import socket
import sys
import threading
import time
from typing import Any

from jax._src import distributed as runtime  # JAX has no public way to the store

_INTERVAL = 5.0  # seconds
_LOST_AFTER = 40.0

_FOLDER = "gnp/alive"
_ENDED = "ended"


def watch() -> None:
    """Starts to watch the other processes; the JAX distributed runtime is initialized."""
    state = runtime.global_state
    if state.client is None or state.num_processes < 2:
        return
    watcher = Watcher(state.client, state.process_id, state.num_processes)
    atexit.register(watcher.end)
    threading.Thread(target=watcher.run, daemon=True, name="watch peers").start()


class Watcher:
    """Says once of each process that it was lost."""

    def __init__(self, client: Any, own: int, num_processes: int):
        """Args:
        client: of the runtime, with its key-value store.
        own: number of this process.
        num_processes: how many there are.
        """
        self._client = client
        self._own = own
        self._num_processes = num_processes
        self._count = 0
        self._seen: dict[int, tuple[str, float]] = {}
        self._said: set[int] = set()

    def run(self) -> None:
        """Looks again and again, until the store is gone."""
        while True:
            try:
                self.look(time.monotonic())
            except Exception:  # the runtime has been shut down, or its process is lost
                return
            time.sleep(_INTERVAL)

    def look(self, now: float) -> None:
        """Gives a sign of life and looks for those of the others.

        Args:
          now: in seconds.
        """
        self._count += 1
        self._set(f"{self._count} process {os.getpid()} on {socket.gethostname()}")
        for key, sign in self._client.key_value_dir_get(f"{_FOLDER}/"):
            number = int(key.rpartition("/")[2])
            if self._seen.get(number, ("", 0.0))[0] != sign:
                self._seen[number] = (sign, now)
        for number, (sign, time_seen) in self._seen.items():
            is_lost = now - time_seen > _LOST_AFTER and sign != _ENDED
            if is_lost and number not in self._said:
                self._said.add(number)
                self._say(number, sign)

    def end(self) -> None:
        """Tells the others that this process ends by itself."""
        try:
            self._set(_ENDED)
        except Exception:  # as in `run`
            return

    def _set(self, sign):
        self._client.key_value_set(f"{_FOLDER}/{self._own}", sign, allow_overwrite=True)

    def _say(self, number, sign):
        print(
            f"Process {number} of {self._num_processes} ({sign.partition(' ')[2]}) has given no "
            f"sign of life for {_LOST_AFTER:.0f} seconds and seems to be lost; JAX then ends the "
            "others with a stack trace, and the same command resumes from the last checkpoint.",
            file=sys.stderr,
            flush=True,
        )
