"""Metrics of a run as TensorBoard events."""

import logging
import pathlib
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
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._event, self._scalar = Event, summary.scalar
        self._folder = folder = pathlib.Path(folder) / TENSORBOARD_FOLDER
        self._events, self._flushed_at = None, 0.0
        try:
            folder.mkdir(exist_ok=True)
            self._events = EventsWriter(str(folder / "events"))
        except OSError as error:
            self._give_up(error)
        self._write([Event(step=first_step + 1, session_log=SessionLog(status=SessionLog.START))])

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._write(
            self._event(wall_time=time.time(), step=step, summary=self._scalar(name, float(value)))
            for name, value in metrics.items()
        )

    def close(self) -> None:
        self._try(lambda: self._events.close())

    def _write(self, events):
        def write():
            for event in events:
                self._events.write_event(event)
            if time.monotonic() - self._flushed_at >= _SECONDS_BETWEEN_FLUSHES:
                self._folder.stat()  # which fails if it was deleted
                self._events.flush()
                self._flushed_at = time.monotonic()

        self._try(write)

    def _try(self, action):
        if self._events is None:
            return
        try:
            action()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error):
        _log.warning("No more TensorBoard events until the next start: %s.", error)
        self._events = None
