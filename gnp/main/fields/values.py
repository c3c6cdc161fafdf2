"""Values of config fields: typed ones are parsed, and all must be what config.json can hold."""

import ast
import math
import warnings
from collections.abc import Mapping
from typing import Any

from gnp.errors import UserError

# Deeper than any field needs, and far from the limits of Python and of config dictionaries.
DEEPEST = 20

_LONGEST_SHOWN = 100
_LARGEST = 10**30
_LONGEST_TEXT = 4096  # as paths

# What Python raises for text that is no literal, or too long or too deep a one.
_NO_LITERAL = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)


class CommandLineText(str):
    """A value as it was typed, whose meaning depends on the type of its field."""


def parse(text: str) -> Any:
    """The Python literal that a text is, true and false in any case; else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        with warnings.catch_warnings():  # of unusual literals
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except _NO_LITERAL:
        return str(text)


def shown(value: Any) -> str:
    """A value as it is written in Python, cut to a length that fits into a sentence."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # deep; a number of thousands of digits
        return "a huge value"
    return shortened(text)


def shortened(text: str) -> str:
    """A text, cut to a length that fits into a sentence."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def check_plain(field: str, value: Any, set_by: str, depth: int = 0) -> None:
    """Checks that a value is what config.json can hold and give back.

    Args:
      field: its name, for the message.
      value: any.
      set_by: where it comes from, for the message.
      depth: levels of names and lists around it.

    Raises:
      UserError: it is, or has in it, another type, a number that is not finite, a name that is no
        text, or something too long; or it nests too deep.
    """
    problem = None
    if depth > DEEPEST:
        problem = f"nests deeper than {DEEPEST} levels"
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str) or "." in name:
                problem = f"has the name {shown(name)}; names are texts without dots"
                break
            check_plain(f"{field}.{name}", inner, set_by, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            check_plain(field, inner, set_by, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        problem = f"is or has the number {value}; numbers must be finite"
    elif type(value) is int and abs(value) >= _LARGEST:
        problem = "is or has a whole number of more than 30 digits"
    elif isinstance(value, str) and "\0" in value:
        problem = "has a character of code 0"
    elif isinstance(value, str) and len(value) > _LONGEST_TEXT:
        problem = f"has a text of more than {_LONGEST_TEXT} characters"
    elif not (value is None or isinstance(value, bool | int | float | str)):
        problem = (
            f"is or has {shown(value)}; config.json holds numbers, texts, lists and names with "
            "values"
        )
    if problem:
        raise UserError(f"{set_by} sets {shortened(field)}, which {problem}.")
