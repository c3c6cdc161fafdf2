"""The log of a run: log.txt in its folder, and standard output if wished."""

import contextlib
import logging
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

LOG_FILE = "log.txt"

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextlib.contextmanager
def run_log(folder: pathlib.Path, settings: Any) -> Iterator[None]:
    """Sends what the package logs meanwhile to the folder's log.

    Args:
      folder: the run's folder; it exists.
      settings: the config's block `logging`.
    """
    logger = logging.getLogger("gnp")
    logger.setLevel(settings.basic_logger_level.upper())
    handlers = [logging.FileHandler(folder / LOG_FILE)]
    if settings.logger_sys_output:
        handlers.append(logging.StreamHandler(sys.stdout))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
