"""The lines of a run's files of metrics, read and checked."""

import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from gnp.errors import UserError
from gnp.files import read_bytes

# The only strings in a line: numbers that JSON does not have.
_NOT_IN_JSON = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

# No run takes as many steps, and what it computes in float32 is far smaller.
_TOO_MANY_STEPS = 2**53
_TOO_LARGE = 1e100


def read_metrics(path: pathlib.Path) -> list[dict]:
    """The lines of a file of JSON lines, without the last one if it was cut off while written.

    Each has a whole number `step`, and numbers only.

    Raises:
      UserError: there is no such file, or a line in it is damaged.
    """
    path = pathlib.Path(path)
    return parse(path, read_bytes(path))


def read_metrics_if_any(path: pathlib.Path) -> list[dict]:
    """The same; none where there is no such file."""
    return read_metrics(path) if os.path.lexists(path) else []


def best_evaluation(metrics: Sequence[dict], best_metric: str) -> dict | None:
    """The first line with the smallest value of a metric; None if there is no evaluation."""

    def order(line):
        value = line.get(best_metric, math.inf)
        return math.inf if math.isnan(value) else value

    return min((line for line in metrics if "eval/error_rate" in line), key=order, default=None)


def by_step(metrics: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Lines as columns of equal length, one row per step, nan where there is no value.

    Args:
      metrics: lines, several of which may be of one step.
    """
    rows: dict[int, dict[str, float]] = {}
    for line in metrics:
        rows.setdefault(line["step"], {}).update(line)
    names = dict.fromkeys(name for row in rows.values() for name in row if name != "step")
    columns = {"step": np.array(sorted(rows), np.int64)}
    for name in names:
        columns[name] = np.array([rows[step].get(name, math.nan) for step in sorted(rows)], float)
    return columns


def parse(path: pathlib.Path, content: bytes) -> list[dict]:
    """The lines of what a file holds, which its path names in messages.

    Raises:
      UserError: a line is damaged.
    """
    whole_lines = content.split(b"\n")[:-1]
    return [_from_line(path, number, line) for number, line in enumerate(whole_lines, 1)]


def to_line(metrics: Mapping[str, float]) -> str:
    """Metrics as a line of such a file."""
    values = {name: _to_json(value) for name, value in metrics.items()}
    return json.dumps(values, allow_nan=False) + "\n"


def _to_json(value):
    if isinstance(value, int):
        return value
    value = float(value)
    return value if math.isfinite(value) else str(value)


def _from_line(path, number, line):
    try:
        found = json.loads(line.decode())
        if not isinstance(found, dict):
            raise ValueError("it holds no names and values")
        metrics = {name: _number(name, value) for name, value in found.items()}
        step = metrics.get("step")
        if not isinstance(step, int) or not 0 <= step < _TOO_MANY_STEPS:
            raise ValueError(f"its step is {step}")
        return metrics
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"Line {number} of {path} is damaged ({error}); fix or remove it."
        ) from error


def _number(name, value):
    if is_number(value):
        return value
    if isinstance(value, str) and value in _NOT_IN_JSON:
        return _NOT_IN_JSON[value]
    raise ValueError(f"{name} is no number")


def is_number(value: object) -> bool:
    """Whether a value is a number as runs compute them."""
    if isinstance(value, float):
        return abs(value) < _TOO_LARGE or not math.isfinite(value)
    return type(value) is int and abs(value) < _TOO_MANY_STEPS
