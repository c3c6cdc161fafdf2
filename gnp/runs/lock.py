"""One process at a time writes into a run's folder."""

import contextlib
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from gnp.errors import UserError

LOCK_FILE = ".lock"


@contextlib.contextmanager
def lock_run(folder: pathlib.Path) -> Iterator[None]:
    """Holds the folder of a run, which is created if need be.

    The system gives the lock back when its process ends, however it ends, so a lock that a killed
    run left behind holds nobody up.

    Raises:
      UserError: another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}); choose another --working_dir."
        ) from error
    with file:
        _acquire(file, folder)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def _acquire(file, folder):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise UserError(
            f"{folder} is in use by {holder}; wait until it ends, or choose another --working_dir."
        ) from error
