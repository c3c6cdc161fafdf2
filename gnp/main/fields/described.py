"""All fields of a config with their meaning: the comments of config/base.py are the only source."""

import ast
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_COMMENT = re.compile(r"(?:^|\s)# (.+)$")

_MOST_NEAREST = 3
_RATHER_LIKE = 0.6  # a ratio of difflib, for names that are misspelt


class DescribedField(NamedTuple):
    """A field of config/base.py.

    Attributes:
      name: with its blocks, such as `gnp.r`.
      default: as Python text; "unset" where a field has none.
      meaning: its comment.
    """

    name: str
    default: str = ""
    meaning: str = ""


def described_fields(source: str) -> list[DescribedField]:
    """The fields in the order of the file.

    Args:
      source: text of config/base.py. `get_config` assigns the fields, or calls functions of the
        same file that assign fields of a block. The comment of a field is on its lines or above.
    """
    lines = source.splitlines()
    functions = {node.name: node for node in ast.parse(source).body if hasattr(node, "args")}
    fields = []
    for name, node in _assignments(functions["get_config"], functions):
        meaning = _comment(lines, node)
        is_block = "ConfigDict" in ast.unparse(node.value)
        if meaning or not is_block:  # a block with a comment takes fields of any name
            fields.append(DescribedField(name, _default(node.value), meaning))
    return fields


def nearest_fields(given: str, fields: Sequence[DescribedField]) -> list[str]:
    """The fields that a user may mean by a name, such as `base_lr` by "lr"; perhaps none.

    These are the fields whose own name is it, or has it among its words, whose meaning has it, and
    those that are spelt alike.
    """
    own = given.rpartition(".")[2].replace("-", "_").lower()

    def rank(field):
        name = field.name.rpartition(".")[2]
        likeness = difflib.SequenceMatcher(None, own, name).ratio()
        named = f"_{own}_" in f"_{name}_"
        meant = f" {own.replace('_', ' ')} " in f" {field.meaning.lower()} "
        is_near = named or meant or likeness >= _RATHER_LIKE
        return (not is_near, name != own, not named, -likeness)

    nearest = sorted(fields, key=rank)[:_MOST_NEAREST]
    return [field.name for field in nearest if not rank(field)[0]]


def _assignments(function, functions, block="") -> Iterator[tuple[str, ast.Assign]]:
    """Yields the fields that a function assigns and their names; `block` is its argument."""
    for node in function.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            yield block + ast.unparse(node.targets[0]).partition(".")[2], node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = functions[ast.unparse(node.value.func)]
            inner = ast.unparse(node.value.args[0]).partition(".")[2]
            yield from _assignments(called, functions, f"{inner}.")


def _comment(lines, node):
    first = node.lineno - 1
    while lines[first - 1].lstrip().startswith("# "):
        first -= 1
    found = (_COMMENT.search(line) for line in lines[first : node.end_lineno])
    return " ".join(match[1] for match in found if match)


def _default(value):
    text = ast.unparse(value)
    if "placeholder" in text:
        return "unset"
    return "{}" if "ConfigDict" in text else text
