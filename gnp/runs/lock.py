"""One process at a time writes into a run's folder."""

import contextlib
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import IO

from gnp.errors import TrainingError, UserError
from gnp.files import is_at, kind

LOCK_FILE = ".lock"


@contextlib.contextmanager
def lock_run(folder: pathlib.Path) -> Iterator["RunLock"]:
    """Holds the folder of a run, which is created if need be.

    The system gives the lock back when its process ends, however it ends, so a lock that a killed
    run left behind holds nobody up.

    Raises:
      UserError: another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = RunLock(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}); make room there, or choose another "
            "--working_dir."
        ) from error
    with contextlib.closing(lock):
        yield lock


def is_in_use(folder: pathlib.Path) -> bool:
    """Whether a process holds the folder of a run."""
    try:
        with (folder / LOCK_FILE).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such file, or it cannot be opened, which the next start says
        return False
    return False


class RunLock:
    """The lock on a folder: a lock on a file in it."""

    def __init__(self, folder: pathlib.Path):
        """Takes the lock.

        Raises:
          UserError: another process holds it.
          OSError: the folder cannot be written.
        """
        self._folder = folder
        self._path = folder / LOCK_FILE
        self._file = self._acquired()

    def check(self) -> None:
        """Makes sure that the folder is still this process's, though the lock's file was deleted.

        Where the whole folder is gone nobody else can hold it, so that is no error.

        Raises:
          TrainingError: another process has taken the folder.
        """
        if is_at(self._file, self._path):
            return
        try:
            taken = self._acquired()
        except UserError as error:
            raise TrainingError(
                f"{self._path} was deleted, and another process took the folder; this one stops, "
                f"and what it would have saved now is lost. ({error})"
            ) from error
        except OSError:
            return  # nothing can be written there, which is said where something is
        self._file.close()
        self._file = taken

    def close(self) -> None:
        """Gives the lock back."""
        self._file.close()

    def _acquired(self) -> IO:
        """The file at the path, locked; one that is deleted meanwhile locks nothing."""
        if (found := kind(self._path)) not in ("a file", "nothing"):
            raise UserError(f"{self._path} is {found}, but a file belongs there; move it away.")
        while True:
            file = self._path.open("a+", encoding="utf-8", errors="replace")
            try:
                self._lock(file)
                if is_at(file, self._path):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()

    def _lock(self, file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(
                f"{self._folder} is in use by {holder}; wait until it ends, or choose another "
                "--working_dir."
            ) from error
        file.truncate(0)
        # Who holds it is good to know, but a full disk does not take it.
        with contextlib.suppress(OSError):
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
