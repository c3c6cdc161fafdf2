"""Where the metrics of a run go: files of JSON lines, and whatever else writes metrics.

A writer has `write(step, metrics)` and `close()`.
"""

import json
import logging
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Protocol

from gnp.errors import UserError
from gnp.files import write_atomically
from gnp.runs.folder import METRICS_FILE, TIMINGS_FILE

_log = logging.getLogger(__name__)


class Writer(Protocol):
    """What metrics are written to."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the metrics of a step."""

    def close(self) -> None:
        """Finishes what is being written."""


class Writers:
    """Several writers as one, which leaves closing to whoever opened them."""

    def __init__(self, *writers: Writer):
        self._writers = writers

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for writer in self._writers:
            writer.write(step, metrics)


class JsonLinesWriter:
    """Appends metrics to a file, one JSON object a line: `{"step": 12, "train/loss": 0.5, ...}`.

    Floats keep all their digits; those that JSON has no number for are the strings "nan", "inf" and
    "-inf". What cannot be written (the disk is full, say) is kept and tried again with the next
    line.
    """

    def __init__(self, path: pathlib.Path, keep: Callable[[dict], bool] = lambda line: True):
        """Opens the file, without a line that was cut off, and without those not to be kept."""
        if path.exists():
            write_atomically(path, "".join(map(_to_line, filter(keep, read_metrics(path)))))
        self._file = path.open("ab", buffering=0)
        self._unwritten = b""
        self._is_warned = False

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes one line, whole, so that a run that is killed leaves a readable file."""
        self._unwritten += _to_line({"step": int(step), **metrics}).encode()
        self._write_what_is_left()

    def close(self) -> None:
        self._write_what_is_left()
        self._file.close()

    def _write_what_is_left(self):
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[self._file.write(self._unwritten) :]
            self._is_warned = False
        except OSError as error:
            if not self._is_warned:
                _log.warning("%s cannot be written for now: %s.", self._file.name, error.strerror)
            self._is_warned = True


def open_metrics(folder: pathlib.Path, first_step: int, evaluated_step: int) -> JsonLinesWriter:
    """The writer of a run's `metrics.jsonl`.

    A run that resumes from a checkpoint takes its steps after it again, so what an earlier start
    wrote about them is removed.

    Args:
      folder: the run's folder; it exists.
      first_step: the number of steps already taken; 0: a new run.
      evaluated_step: the last step whose evaluation is not going to be made again.
    """

    def is_kept(line):
        is_evaluation = any(name.startswith("eval/") for name in line)
        return 0 < line["step"] <= (evaluated_step if is_evaluation else first_step)

    return JsonLinesWriter(folder / METRICS_FILE, is_kept)


def open_timings(folder: pathlib.Path) -> JsonLinesWriter:
    """The writer of a run's `timings.jsonl`, which keeps what every start of the run took.

    Apart from the metrics, because these are the same however often a run was interrupted.
    """
    return JsonLinesWriter(folder / TIMINGS_FILE)


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The lines of a file of JSON lines, without the last one if it was cut off while written.

    Raises:
      UserError: another line is damaged.
    """
    lines = pathlib.Path(path).read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    return [_from_line(path, number, line) for number, line in enumerate(lines, 1)]


def _to_line(metrics):
    values = {name: _to_json(value) for name, value in metrics.items()}
    return json.dumps(values, allow_nan=False) + "\n"


def _to_json(value):
    if isinstance(value, int):
        return value
    value = float(value)
    return value if math.isfinite(value) else str(value)


def _from_line(path, number, line):
    try:
        # The only strings in a line are the numbers that JSON cannot hold.
        return {
            name: float(value) if isinstance(value, str) else value
            for name, value in json.loads(line).items()
        }
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"Line {number} of {path} is damaged ({error}); fix or remove it."
        ) from error
