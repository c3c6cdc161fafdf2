"""The log of a run: log.txt in its folder, and standard output if wished."""

import contextlib
import logging
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from gnp.errors import CannotWriteError
from gnp.files import is_at

LOG_FILE = "log.txt"

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextlib.contextmanager
def run_log(folder: pathlib.Path, settings: Any) -> Iterator[None]:
    """Sends what the package logs meanwhile to the folder's log.

    Args:
      folder: the run's folder; it exists.
      settings: the config's block `logging`.

    Raises:
      CannotWriteError: the log cannot be opened.
    """
    logger = logging.getLogger("gnp")
    level = logger.level
    logger.setLevel(settings.basic_logger_level.upper())
    handlers = [_LogFile(folder / LOG_FILE)]
    if settings.logger_sys_output:
        handlers.append(_StandardOutput(sys.stdout))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)


class _LogFile(logging.Handler):
    """Appends to a file. Lines that a full disk refuses are lost, which is said once."""

    def __init__(self, path):
        super().__init__()
        self._path = path
        self._is_warned = False
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise CannotWriteError(path, error) from error

    def emit(self, record):
        try:
            if not is_at(self._file, self._path):  # it was deleted
                deleted, self._file = self._file, self._path.open("ab", buffering=0)
                deleted.close()
            self._file.write(f"{self.format(record)}\n".encode(errors="backslashreplace"))
        except OSError as error:
            if not self._is_warned:
                self._is_warned = True
                logging.getLogger(__name__).warning("%s lacks lines: %s.", self._path, error)

    def close(self):
        self._file.close()
        super().close()


class _StandardOutput(logging.StreamHandler):
    def handleError(self, record):
        """A full disk, or a closed pipe, has no place for a traceback either."""
