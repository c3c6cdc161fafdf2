"""Metrics of a run on disk: metrics.jsonl and TensorBoard events."""

import json
import math
import pathlib
from collections.abc import Mapping

from gnp.training.run_folder import METRICS_FILE, write_atomically

TENSORBOARD_FOLDER = "tensorboard"


class MetricsWriter:
    """Appends metrics to `metrics.jsonl` and, if wished, to TensorBoard events.

    Each line is one JSON object: `{"step": 12, "train/loss": 0.5, ...}`. Floats keep all their
    digits; those that JSON has no number for are the strings "nan", "inf" and "-inf".

    A run that goes on from a checkpoint takes its steps after it again, so what an earlier start
    wrote about them is removed.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        tensorboard: bool,
        first_step: int,
        evaluated_step: int | None = None,
    ):
        """Opens the files.

        Args:
          folder: the run's folder; it exists.
          tensorboard: write TensorBoard events too.
          first_step: the number of steps already taken; 0: a new run.
          evaluated_step: the last step whose evaluation is not going to be made again;
            None: `first_step`.
        """
        path = pathlib.Path(folder) / METRICS_FILE
        if evaluated_step is None:
            evaluated_step = first_step
        _remove_later_lines(path, first_step, evaluated_step)
        self._file = path.open("a")
        self._tensorboard = _open_tensorboard(folder, first_step) if tensorboard else None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes one line, whole, so that a run that is killed leaves a readable file."""
        self._file.write(_to_line({"step": int(step), **metrics}))
        self._file.flush()
        if self._tensorboard is not None:
            for name, value in metrics.items():
                self._tensorboard.add_scalar(name, float(value), step)

    def close(self) -> None:
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The lines of a `metrics.jsonl`, without the last one if it was cut off while written."""
    lines = pathlib.Path(path).read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    return [_from_line(line) for line in lines]


def _remove_later_lines(path, first_step, evaluated_step):
    if not path.exists():
        return

    def is_kept(line):
        is_evaluation = any(name.startswith("eval/") for name in line)
        return 0 < line["step"] <= (evaluated_step if is_evaluation else first_step)

    write_atomically(path, "".join(_to_line(line) for line in read_metrics(path) if is_kept(line)))


def _open_tensorboard(folder, first_step):
    import tensorboardX  # imported late: it takes a while, and not every run wants it

    return tensorboardX.SummaryWriter(
        str(pathlib.Path(folder) / TENSORBOARD_FOLDER), purge_step=first_step + 1
    )


def _to_line(metrics):
    values = {name: _to_json(value) for name, value in metrics.items()}
    return json.dumps(values, allow_nan=False) + "\n"


def _to_json(value):
    if isinstance(value, int):
        return value
    value = float(value)
    return value if math.isfinite(value) else str(value)


def _from_line(line):
    # The only strings in a line are the numbers that JSON cannot hold.
    return {
        name: float(value) if isinstance(value, str) else value
        for name, value in json.loads(line).items()
    }
