"""Files of JSON lines that a run appends its metrics to: nothing lost, and cut at a resume."""

import logging
import os
import pathlib
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gnp.errors import UserError
from gnp.files import is_at, write_atomically
from gnp.runs.folder import METRICS_FILE, SUMMARY_FILE, TIMINGS_FILE
from gnp.runs.metrics import parse, read_metrics_if_any, to_line

# What the timings of some steps have.
_TIMED = {"time/seconds", "time/images_per_second", "time/data_wait_share", "time/step_ms_median"}

_log = logging.getLogger(__name__)


class Recorded(NamedTuple):
    """What a file of JSON lines held when a checkpoint was saved.

    Attributes:
      lines: their number.
      fingerprint: of all of them.
    """

    lines: int = 0
    fingerprint: int = 0

    def and_line(self, line: bytes) -> "Recorded":
        """The same with one more line."""
        return Recorded(self.lines + 1, zlib.crc32(line, self.fingerprint))


class JsonLinesWriter:
    """Appends metrics to a file, one JSON object a line: `{"step": 12, "train/loss": 0.5, ...}`.

    Floats keep all their digits; those that JSON has no number for are the strings "nan", "inf" and
    "-inf". What cannot be written (the disk is full, say) is kept and tried again with the next
    line.

    Attributes:
      name: of the file.
      recorded: all lines so far, those that are not written yet included.
    """

    def __init__(
        self,
        path: pathlib.Path,
        keep: Callable[[dict], bool] = lambda line: True,
        expected: Recorded | None = None,
    ):
        """Opens the file, without a line that was cut off, and without those not to be kept.

        Args:
          path: of the file.
          keep: which lines stay.
          expected: what the file held when the run was saved; a warning says if it is not there.

        Raises:
          UserError: the file is damaged; or it lacks lines, and the run is finished.
          CannotWriteError: it cannot be written.
        """
        self._path, self.name = path, path.name
        self.recorded = Recorded()
        lines = [to_line(line).encode() for line in filter(keep, read_metrics_if_any(path))]
        for line in lines:
            self.recorded = self.recorded.and_line(line)
        if expected is not None:
            _check(path, lines, expected)
        self._unwritten = b""
        self._is_warned = False
        self._reopen(b"".join(lines))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes one line, whole, so that a run that is killed leaves a readable file."""
        line = to_line({"step": int(step), **metrics}).encode()
        self.recorded = self.recorded.and_line(line)
        self._unwritten += line
        self._write_what_is_left()

    def lines(self) -> list[dict]:
        """All lines, also those that cannot be written, or whose file was deleted."""
        return parse(self._path, self._content())

    def sync(self) -> bool:
        """Puts the file back if it was deleted; returns whether all lines are in it."""
        self._write_what_is_left()
        if not is_at(self._file, self._path):
            try:
                previous, content = self._file, self._content()
                self._reopen(content)
                previous.close()
                self._unwritten = b""
            except (OSError, UserError) as error:
                self._warn(error)
                return False
        return not self._unwritten

    def close(self) -> None:
        self._write_what_is_left()
        self._file.close()

    def _reopen(self, content):
        write_atomically(self._path, content)
        self._file = self._path.open("a+b", buffering=0)

    def _content(self):
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0) + self._unwritten

    def _write_what_is_left(self):
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[self._file.write(self._unwritten) :]
            self._is_warned = False
        except OSError as error:
            self._warn(error)

    def _warn(self, error):
        if not self._is_warned:
            _log.warning("%s cannot be written for now: %s.", self._path, error)
        self._is_warned = True


def open_metrics(
    folder: pathlib.Path,
    first_step: int,
    evaluated_step: int,
    expected: Recorded | None = None,
) -> JsonLinesWriter:
    """The writer of a run's `metrics.jsonl`.

    A run that resumes from a checkpoint takes its steps after it again, so what an earlier start
    wrote about them is removed.

    Args:
      folder: the run's folder; it exists.
      first_step: the number of steps already taken; 0: a new run.
      evaluated_step: the last step whose evaluation is not going to be made again.
      expected: what the file held when the run was saved.
    """

    if first_step == 0 and (lines := read_metrics_if_any(folder / METRICS_FILE)):
        _log.warning(
            "%s has no checkpoint, so the run starts from its first step, and the %d lines of its "
            "%s are replaced.",
            folder,
            len(lines),
            METRICS_FILE,
        )

    def is_kept(line):
        is_evaluation = any(name.startswith("eval/") for name in line)
        return 0 < line["step"] <= (evaluated_step if is_evaluation else first_step)

    return JsonLinesWriter(folder / METRICS_FILE, is_kept, expected)


def open_timings(folder: pathlib.Path, expected: Recorded | None = None) -> JsonLinesWriter:
    """The writer of a run's `timings.jsonl`, which keeps what every start of the run took.

    Apart from the metrics, because these are the same however often a run was interrupted.

    Raises:
      UserError: as `JsonLinesWriter`; or a line lacks what a run's speed is summed up from.
    """
    path = folder / TIMINGS_FILE

    def is_whole(line):
        lacking = _TIMED - line.keys() if "time/steps" in line else ()
        if lacking or not _is_count(line.get("time/steps", 1)):
            raise UserError(
                f"The line of step {line['step']} in {path} is damaged (it needs a whole number "
                f"time/steps, and {', '.join(sorted(_TIMED))}); fix or remove it."
            )
        return True

    return JsonLinesWriter(path, is_whole, expected)


def _check(path, lines, expected):
    """Compares what is there with what the run had written when it was saved."""
    found = Recorded()
    for line in lines[: expected.lines]:
        found = found.and_line(line)
    if found == expected:
        return
    what = "holds other lines than"
    if found.lines < expected.lines:
        what = f"lacks {expected.lines - found.lines} of the {expected.lines} lines that"
    fault = f"{path} {what} the run had written when it was saved"
    if (path.parent / SUMMARY_FILE).exists():
        raise UserError(
            f"{fault}, and the run is finished; put the file back, or set --config.retrain=True to "
            "train again."
        )
    _log.warning("%s; curves and summary will show what is there.", fault)


def _is_count(value):
    return type(value) is int and value > 0
