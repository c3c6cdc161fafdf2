"""Generates the reference of all config fields from config/base.py."""

import ast
import re
from collections.abc import Iterator

_HEAD = """# All config fields

A config file overrides some of these fields.
The command line overrides both: `--config.FIELD=VALUE`. Quote lists there: `"['a', 'b']"`.
This page is generated from [config/base.py](../config/base.py) when the site is built.

| field | default | description |
|---|---|---|
"""
_COMMENT = re.compile(r"(?:^|\s)# (.+)$")


def reference(source: str) -> str:
    """Returns a Markdown page with the default and the comment of each field.

    Args:
      source: text of config/base.py. `get_config` assigns the fields, or calls functions of the
        same file that assign fields of a block. The comment of a field is on its lines or above.
    """
    lines = source.splitlines()
    functions = {node.name: node for node in ast.parse(source).body if hasattr(node, "args")}
    rows = []
    for name, node in _assignments(functions["get_config"], functions):
        comment = _comment(lines, node)
        is_block = "ConfigDict" in ast.unparse(node.value)
        if comment or not is_block:  # a block with a comment takes fields of any name
            rows.append(f"| `{name}` | `{_default(node.value)}` | {comment} |\n")
    return _HEAD + "".join(rows)


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
    return " ".join(match[1] for match in found if match).replace("|", "\\|")


def _default(value):
    text = ast.unparse(value)
    if "placeholder" in text:
        return "unset"
    return "{}" if "ConfigDict" in text else text
