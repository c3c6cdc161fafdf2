"""Whether the names and values that a file holds are those that are read."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from gnp.errors import UserError, printable
from gnp.runs.metrics import is_number

# By name: what the value must be, or for names and values again the same of those. A name that
# ends with ? may be missing.
Wanted = Mapping[str, "Callable[[Any], bool] | Wanted"]


def check(content: Mapping[str, Any], wanted: Wanted, file: pathlib.Path) -> None:
    """Checks what a file holds.

    Raises:
      UserError: a value is missing or of another kind; names the file and the value.
    """
    if fault := _fault(content, wanted, ""):
        raise UserError(f"{file} is damaged ({fault}); fix or remove it.")


def _fault(content, wanted, path):
    if not isinstance(content, Mapping):
        return f"{path.rstrip('.')} has no names and values"
    for name, expected in wanted.items():
        key = name.rstrip("?")
        where = f"{path}{key}"
        if key not in content:
            if not name.endswith("?"):
                return f"it has no {where}"
        elif isinstance(expected, Mapping):
            if fault := _fault(content[key], expected, f"{where}."):
                return fault
        elif not expected(content[key]):
            return f"{where} is {printable(repr(content[key]))[:60]}"
    return None


def number(value: Any) -> bool:
    """Whether it is a number; null stands for one that JSON does not have."""
    return value is None or is_number(value)


def positive(value: Any) -> bool:
    """Whether it is a number above zero."""
    return is_number(value) and value > 0


def numbers(value: Any) -> bool:
    """Whether it is a list of numbers that is not empty."""
    return isinstance(value, list) and bool(value) and all(map(number, value))


def numbers_by_name(value: Any) -> bool:
    """Whether all values are numbers."""
    return isinstance(value, Mapping) and all(map(number, value.values()))


def whole(value: Any) -> bool:
    """Whether it is a whole number."""
    return type(value) is int and is_number(value)


def text(value: Any) -> bool:
    """Whether it is text."""
    return isinstance(value, str)


def text_or_nothing(value: Any) -> bool:
    """Whether it is text, or null."""
    return value is None or text(value)


def texts_by_name(value: Any) -> bool:
    """Whether all values are text."""
    return isinstance(value, Mapping) and all(map(text, value.values()))
