"""What lies in the folder of a checkpoint, and whether it is what was saved.

    STEP/state              all arrays, in the format of orbax
    STEP/position/metadata  JSON: where the run stands, and fingerprints of the arrays and of itself
    STEP/metrics/metrics    JSON: the evaluation at that step, if any, with its own fingerprint

Checkpoints of early versions have no fingerprints of the JSON.
"""

import json
import math
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

from gnp.errors import UserError
from gnp.files import kind, read_json, require_checkpoint_path
from gnp.runs.json_lines import Recorded
from gnp.training.position import Position

METRICS_ITEM = "metrics"

_POSITION = "position/metadata"
_METRICS = f"{METRICS_ITEM}/{METRICS_ITEM}"
_ORBAX = "_CHECKPOINT_METADATA"  # what orbax keeps about a checkpoint

# Of a file of JSON itself; beside its other names and values.
_FINGERPRINT = "file_fingerprint"

# What checkpoints call the steps that were skipped.
_SKIPPED_STEPS = "left_out"

# What a position has if it has no fingerprint of its own: all but the last two are numbers.
_EARLY_NAMES = frozenset(
    {"step", "evaluated_step", "best_step", "evaluations_since_best", "seconds"}
    | {"fingerprint", "variables_fingerprint", "best_value", _SKIPPED_STEPS}
)


class DamagedError(ValueError):
    """A checkpoint is not what was saved. The message says what is wrong."""


def saved_steps(folder: pathlib.Path) -> list[int]:
    """The steps of the checkpoints in a folder, ascending; none if there is no folder.

    Raises:
      UserError: the library that reads checkpoints cannot take the path.
    """
    if not folder.is_dir():
        return []
    require_checkpoint_path(folder, "move the run")
    return sorted(int(entry.name) for entry in folder.iterdir() if is_step(entry.name))


def is_step(name: str) -> bool:
    """Whether a checkpoint has that name."""
    return name.isascii() and name.isdigit() and name == str(int(name))


def with_fingerprint(content: Mapping[str, Any]) -> dict[str, Any]:
    """Names and values as they are saved, with their fingerprint."""
    return dict(content) | {_FINGERPRINT: _fingerprint(content)}


def read_position(checkpoint: pathlib.Path) -> dict[str, Any]:
    """Where the run stood, with the fingerprints of the arrays.

    Args:
      checkpoint: its folder. If it is called like a step, it must be of that step.

    Raises:
      DamagedError: it cannot be read, or is not what was saved.
    """
    _check_kinds(checkpoint)
    content, is_checked = _read(checkpoint, _POSITION)
    if not is_checked and not _is_early_position(content):
        raise DamagedError(f"{_POSITION} is not what was saved")
    if is_step(checkpoint.name) and str(content.get("step")) != checkpoint.name:
        raise DamagedError(f"{_POSITION} is of step {content.get('step')}")
    return content


def as_position(content: Mapping[str, Any]) -> Position:
    """The position that a file of `read_position` holds."""
    known = {name: content[name] for name in Position._fields if name in content}
    known["skipped_steps"] = tuple(content.get(_SKIPPED_STEPS, ()))
    for name in ("recorded_metrics", "recorded_timings"):
        known[name] = known.get(name) and Recorded(*known[name])
    return Position(**known)


def from_position(position: Position) -> dict[str, Any]:
    """The names and values by which checkpoints know a position."""
    fields = position._asdict()
    return fields | {_SKIPPED_STEPS: fields.pop("skipped_steps")}


def read_evaluation(checkpoint: pathlib.Path) -> dict[str, float] | None:
    """The metrics of the evaluation at a checkpoint; None if it has none.

    Raises:
      DamagedError: they cannot be read, or are not what was saved.
    """
    if kind(checkpoint / _METRICS) == "nothing":
        if _was_saved_with_metrics(checkpoint):
            raise DamagedError(f"{_METRICS} is missing")
        return None
    content, is_checked = _read(checkpoint, _METRICS)
    if not is_checked and not _is_early_evaluation(content):
        raise DamagedError(f"{_METRICS} is not what was saved")
    return content


def best_step(folder: pathlib.Path, best_metric: str) -> int | None:
    """The step of the checkpoint with the smallest metric; None if none has one.

    Raises:
      DamagedError: the metrics of one cannot be read, or are not what was saved.
    """
    found = {step: read_evaluation(folder / str(step)) for step in saved_steps(folder)}
    ranks = {
        step: rank(evaluation, best_metric)
        for step, evaluation in found.items()
        if evaluation and best_metric in evaluation
    }
    return min(ranks, key=ranks.get, default=None)


def rank(evaluation: Mapping[str, float], best_metric: str) -> tuple[float, int]:
    """Smaller is better; of equals the first is, and what is not finite comes last."""
    value = evaluation.get(best_metric, math.inf)
    return math.inf if math.isnan(value) else value, evaluation.get("step", 0)


def fault(checkpoint: pathlib.Path) -> str | None:
    """What is wrong with a checkpoint, of what is seen without its arrays; None: nothing.

    A folder that is missing is no fault: a run that is killed while it makes room leaves such ones.
    """
    try:
        if kind(checkpoint) != "a folder":
            return "it is no folder"
        _check_kinds(checkpoint)
        if kind(checkpoint / _ORBAX) != "nothing":
            _read(checkpoint, _ORBAX)
        if kind(checkpoint / "position") != "nothing":
            read_position(checkpoint)
            read_evaluation(checkpoint)
    except DamagedError as error:
        return str(error)
    return None


def _was_saved_with_metrics(checkpoint):
    """Orbax lists what it saves together; metrics that are added later are not in the list."""
    try:
        return METRICS_ITEM in (_read(checkpoint, _ORBAX)[0].get("item_handlers") or {})
    except DamagedError:
        return False


def _check_kinds(checkpoint):
    """Nothing in it may be a pipe, say, for which orbax would wait."""
    for path in checkpoint.rglob("*"):
        if (found := kind(path)) not in ("a file", "a folder"):
            raise DamagedError(f"{path.relative_to(checkpoint)} is {found}")


def _read(checkpoint, name):
    """The content of a file without its fingerprint, and whether there was one."""
    try:
        content = read_json(checkpoint / name)
    except UserError as error:
        what = str(error).replace(f"{checkpoint / name}", name)
        raise DamagedError(what.removesuffix("; fix or remove it.")) from error
    fingerprint = content.pop(_FINGERPRINT, None)
    if fingerprint not in (None, _fingerprint(content)):
        raise DamagedError(f"{name} is not what was saved")
    return content, fingerprint is not None


def _fingerprint(content):
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _is_early_position(content):
    skipped, best = content.get(_SKIPPED_STEPS, []), content.get("best_value")
    numbers = content.keys() - {_SKIPPED_STEPS, "best_value"}
    return (
        content.keys() <= _EARLY_NAMES
        and all(_is_number(content[name]) for name in numbers)
        and isinstance(skipped, list)
        and all(map(_is_number, skipped))
        and (best is None or _is_number(best))
    )


def _is_early_evaluation(content):
    return all("/" in name or name == "step" for name in content) and all(
        map(_is_number, content.values())
    )


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)
