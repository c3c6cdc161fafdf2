"""Setting fields of a config, by name and type."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections

from gnp.errors import UserError, reason
from gnp.main.fields.described import DescribedField, nearest_fields
from gnp.main.fields.values import CommandLineText, check_plain, parse, shortened, shown

# Blocks that take any field: their content is checked by what it is given to.
_OPEN_BLOCKS = ("model.model_params", "opt.opt_params")

_NUM_SUGGESTIONS = 4

# What is a list of texts without brackets, such as my_parts.py or *bias,*scale.
_PLAIN_TEXTS = re.compile(r"""[^][(){}'"]+""")

_TYPE_NAMES = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list",
}


class _Field(NamedTuple):
    kind: type
    default: Any  # None: the field is unset, and may be set to None


def resolve(
    defaults: ml_collections.ConfigDict, changes: Sequence[tuple[str, Mapping[str, Any]]]
) -> ml_collections.FrozenConfigDict:
    """All fields, with changes put over their defaults, the later ones over the earlier.

    Args:
      defaults: every field; one that is unset has a placeholder, which says its type.
      changes: where the values come from, for the error messages, and the values, nested.

    Raises:
      UserError: there is no such field, or a value is not of the type of the default, or not one
        that config.json can hold.
    """
    fields = defaults.to_dict()
    known = dict(_known_fields(defaults))
    for set_by, values in changes:
        _merge_block(fields, values, known, set_by)
    try:
        return ml_collections.FrozenConfigDict(fields)
    except (AttributeError, KeyError, ValueError) as error:  # names of its own methods
        raise UserError(
            f"A field of {' or '.join(_OPEN_BLOCKS)} cannot have this name ({reason(error)}); "
            "choose another."
        ) from error


def _known_fields(defaults, prefix=""):
    for name, value in defaults.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from _known_fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _Field(defaults.get_type(name), value)


def _merge_block(block, values, known, set_by, prefix=""):
    for name, value in values.items():
        field = f"{prefix}{name}"
        if name not in block:
            raise _unknown_field(field, set_by, known)
        if field in _OPEN_BLOCKS:
            inner = _as_block(field, value, set_by)
            check_plain(field, inner, set_by)
            block[name] = _merge_open(block[name], inner)
            check_plain(field, block[name], set_by)  # what texts were parsed to, too
        elif isinstance(block[name], Mapping):
            inner = _as_block(field, value, set_by)
            _merge_block(block[name], inner, known, set_by, f"{field}.")
        else:
            block[name] = _convert(field, value, known[field], set_by)


def _merge_open(block, values):
    merged = dict(block)
    for name, value in values.items():
        if isinstance(value, Mapping):
            inner = merged.get(name)
            merged[name] = _merge_open(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[name] = parse(value) if isinstance(value, CommandLineText) else value
    return merged


def _as_block(field, value, set_by):
    if isinstance(value, CommandLineText):
        value = parse(value)
    if not isinstance(value, Mapping):
        raise UserError(
            f"{set_by} sets {field} to {shown(value)}, but it is a block of fields; set one of "
            f"them, such as --config.{field}.NAME=VALUE."
        )
    return value


def _convert(field, value, known, set_by):
    kind, default = known
    if isinstance(value, CommandLineText):
        value = str(value) if kind is str else parse(value)
    check_plain(field, value, set_by)
    if value is None and default is None:
        return None
    if kind is object:  # of several types, which its reader checks
        return tuple(value) if isinstance(value, list) else value
    if kind is tuple and isinstance(value, str) and _PLAIN_TEXTS.fullmatch(value):
        return tuple(value.split(","))
    if kind is bool and value in (0, 1):
        return bool(value)
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(tuple(v) if isinstance(v, list) else v for v in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UserError(
            f"{set_by} sets {field} to {shown(value)}, but it takes {_TYPE_NAMES[kind]}; "
            f"its default is {default!r}."
        )
    return value


def _unknown_field(field, set_by, known):
    field = shortened(field)
    names = [*known, *_OPEN_BLOCKS]
    nearest = nearest_fields(field, [DescribedField(name) for name in names])
    nearest += difflib.get_close_matches(field, names, n=_NUM_SUGGESTIONS, cutoff=0)
    nearest = list(dict.fromkeys(nearest))[:_NUM_SUGGESTIONS]
    return UserError(
        f"{set_by} sets {field}, but there is no such field; nearest: {', '.join(nearest)}; "
        "config/base.py explains them all, and gnp config prints them."
    )
