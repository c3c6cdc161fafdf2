"""config.json: the config of a run as it is now, and what was changed of it while it trained."""

import datetime
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gnp.errors import UserError
from gnp.files import read_json, write_atomically

CONFIG_FILE = "config.json"

# Begins the names of metrics that mark a change.
MARK = "config/"

_HISTORY = "history"

_log = logging.getLogger(__name__)


class Change(NamedTuple):
    """A field that was set to another value while a run trained.

    Attributes:
      step: the number of steps taken before.
      field: its dotted name.
      old, new: its values, as JSON has them.
      time: when, in UTC.
    """

    step: int
    field: str
    old: Any
    new: Any
    time: str

    def __str__(self) -> str:
        return f"{self.field}: {self.old} -> {self.new} after step {self.step}"


class KeptConfig(NamedTuple):
    """What `config.json` holds.

    Attributes:
      fields: nested, as they are now.
      history: what was changed, the oldest first.
    """

    fields: dict[str, Any]
    history: tuple[Change, ...] = ()

    def values_before(self) -> dict[str, list[Any]]:
        """The values that changed fields had before."""
        values: dict[str, list[Any]] = {}
        for change in self.history:
            values.setdefault(change.field, []).append(change.old)
        return values


def read_config(file: pathlib.Path) -> KeptConfig:
    """Reads the `config.json` of a run.

    Raises:
      UserError: there is none, or it is damaged.
    """
    fields = read_json(file)
    entries = fields.pop(_HISTORY, [])
    try:
        history = tuple(Change(**entry) for entry in entries)
        if not all(type(c.step) is int and isinstance(c.field, str) for c in history):
            raise TypeError("a step or the name of a field")
    except TypeError as error:
        raise UserError(f"The {_HISTORY} in {file} is damaged ({error}); fix it.") from error
    return KeptConfig(fields, history)


def write_config(folder: pathlib.Path, config: Any, history: Sequence[Change] = ()) -> None:
    """Writes the `config.json` of a run.

    Raises:
      CannotWriteError: it cannot be written; the old one is as it was.
    """
    entries = {_HISTORY: [change._asdict() for change in history]} if history else {}
    write_atomically(folder / CONFIG_FILE, _json(config.to_dict() | entries))


def record_changes(folder: pathlib.Path, config: Any, step: int) -> list[Change]:
    """Notes in `config.json` what a run changes before its next step.

    A change that was made at a later step, because a newer checkpoint is lost, counts from this
    step on. Called again, it finds nothing new.

    Args:
      folder: the run's folder.
      config: the config that the run has from now on.
      step: the number of steps taken.

    Returns:
      What changes at this step.

    Raises:
      UserError: the file is damaged or cannot be written.
    """
    if not (folder / CONFIG_FILE).exists():
        return []
    kept = read_config(folder / CONFIG_FILE)
    was, time = flatten(kept.fields), datetime.datetime.now(datetime.UTC)
    new = [
        Change(step, field, was.get(field), value, time.isoformat(timespec="seconds"))
        for field, value in plain(config).items()
        if was.get(field) != value
    ]
    history = [change._replace(step=min(change.step, step)) for change in (*kept.history, *new)]
    if tuple(history) != kept.history:
        write_config(folder, config, history)
    for change in new:
        _log.warning(
            "From step %d on, %s is %s instead of %s.",
            *(step + 1, change.field, change.new, change.old),
        )
    if tuple(history[: len(kept.history)]) != kept.history:
        _log.warning("No newer checkpoint is left, so earlier changes count from step %d on.", step)
    return [change for change in history if change.step == step]


def plain(config: Any) -> dict[str, Any]:
    """The fields of a config by their dotted names, with values as JSON has them."""
    return flatten(json.loads(_json(config.to_dict())))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, the keys joined by dots; empty dictionaries vanish."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _json(fields):
    return json.dumps(fields, indent=2, sort_keys=True) + "\n"
