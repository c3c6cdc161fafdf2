"""Setting fields of a config, by name and type."""

import ast
import difflib
from collections.abc import Mapping
from typing import Any

from gnp.errors import UserError
from gnp.training.run_folder import flatten

# Blocks that take any field: their content is checked by what it is given to.
_OPEN_BLOCKS = ("model.model_params", "opt.opt_params")

_NUM_SUGGESTIONS = 4

_TYPE_NAMES = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list",
}


class CommandLineText(str):
    """A value as it was typed, whose meaning depends on the type of its field."""


def merge(fields: dict[str, Any], values: Mapping[str, Any], set_by: str) -> None:
    """Puts values into fields, in place.

    Args:
      fields: all fields with their defaults, nested.
      values: new values for some of them, nested.
      set_by: where the values come from, for the error messages.

    Raises:
      UserError: there is no such field, or the value is not of the type of the default.
    """
    _merge_block(fields, values, set_by, fields, prefix="")


def _merge_block(block, values, set_by, all_fields, prefix):
    for name, value in values.items():
        field = prefix + name
        if name not in block:
            raise _unknown_field(field, set_by, all_fields)
        if field in _OPEN_BLOCKS:
            block[name] = _merge_open(block[name], _as_block(field, value, set_by))
        elif isinstance(block[name], Mapping):
            inner = _as_block(field, value, set_by)
            _merge_block(block[name], inner, set_by, all_fields, f"{field}.")
        else:
            block[name] = _convert(field, value, block[name], set_by)


def _merge_open(block, values):
    merged = dict(block)
    for name, value in values.items():
        if isinstance(value, Mapping):
            inner = merged.get(name)
            merged[name] = _merge_open(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[name] = _parse(value) if isinstance(value, CommandLineText) else value
    return merged


def _as_block(field, value, set_by):
    if isinstance(value, CommandLineText):
        value = _parse(value)
    if not isinstance(value, Mapping):
        raise UserError(
            f"{set_by} sets {field} to {value!r}, but it is a block of fields; set one of them, "
            f"such as --config.{field}.NAME=VALUE."
        )
    return value


def _convert(field, value, default, set_by):
    kind = type(default)
    if isinstance(value, CommandLineText):
        value = str(value) if kind is str else _parse(value)
    if kind is bool and value in (0, 1):
        return bool(value)
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(tuple(v) if isinstance(v, list) else v for v in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UserError(
            f"{set_by} sets {field} to {value!r}, but it takes {_TYPE_NAMES[kind]}, "
            f"such as its default {default!r}."
        )
    return value


def _parse(text):
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return str(text)


def _unknown_field(field, set_by, all_fields):
    known = [*flatten(all_fields), *_OPEN_BLOCKS]
    nearest = difflib.get_close_matches(field, known, n=_NUM_SUGGESTIONS, cutoff=0)
    return UserError(
        f"{set_by} sets {field}, but there is no such field; nearest: {', '.join(nearest)}; "
        "config/base.py explains them all."
    )
