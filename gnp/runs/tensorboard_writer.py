"""Metrics of a run as TensorBoard events."""

import contextlib
import logging
import pathlib
import socket
import time
from collections.abc import Mapping

TENSORBOARD_FOLDER = "tensorboard"

_SECONDS_BETWEEN_FLUSHES = 10.0

_log = logging.getLogger(__name__)


class TensorBoardWriter:
    """Writes events that hide those of the steps that are going to be taken again.

    Events that cannot be written (a full disk, say) end with a warning, and training continues
    without them. (The thread of tensorboardX's own writer dies of it, and then that writer blocks.)
    """

    def __init__(self, folder: pathlib.Path, first_step: int):
        """Args:
        folder: the run's folder; it exists.
        first_step: the number of steps already taken; 0: a new run.
        """
        # Imported late: it takes a while, and not every command wants it.
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._event, self._scalar = Event, summary.scalar
        self._folder = folder = pathlib.Path(folder) / TENSORBOARD_FOLDER
        self._records, self._flushed_at = None, 0.0
        started = time.time()
        try:
            folder.mkdir(exist_ok=True)
            name = f"events.out.tfevents.{int(started)}.{socket.gethostname()}"
            self._records = RecordWriter(str(folder / name))
        except OSError as error:
            self._give_up(error)
        again_from = SessionLog(status=SessionLog.START)
        self._write(
            [
                Event(wall_time=started, file_version="brain.Event:2"),
                Event(step=first_step + 1, session_log=again_from),
            ]
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._write(
            self._event(wall_time=time.time(), step=step, summary=self._scalar(name, float(value)))
            for name, value in metrics.items()
        )

    def close(self) -> None:
        self._try(lambda: self._records.close())

    def _write(self, events):
        def write():
            for event in events:
                self._records.write(event.SerializeToString())
            if time.monotonic() - self._flushed_at >= _SECONDS_BETWEEN_FLUSHES:
                self._folder.stat()  # which fails if it was deleted
                self._records.flush()
                self._flushed_at = time.monotonic()

        self._try(write)

    def _try(self, action):
        if self._records is None:
            return
        try:
            action()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error):
        _log.warning("No more TensorBoard events until the next start: %s.", error)
        if self._records is not None:
            # What waits in memory cannot be written; a file left open would say so at the very end.
            with contextlib.suppress(OSError):
                self._records.close()
        self._records = None
