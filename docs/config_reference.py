"""The reference of all config fields, made of config/base.py."""

import ast
import re

_HEAD = """# All config fields

A config file overrides some of these, the command line overrides both: `--config.FIELD=VALUE`.
On the command line lists are written in quotes: `"[1, 2]"`, `"['a', 'b']"`. This page is made of
[config/base.py](../config/base.py) each time the site is.

| field | default | what |
|---|---|---|
"""
_COMMENT = re.compile(r"(?:^|\s)# (.+)$")


def reference(source: str) -> str:
    """A page in Markdown with each field, its default and its comment.

    Args:
      source: the text of config/base.py: fields are assigned in a function, with a comment behind
        them, within them or on the lines before them.
    """
    lines = source.splitlines()
    rows = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Attribute):
            continue
        name = ast.unparse(node.targets[0]).removeprefix("config.")
        comment = _comment(lines, node)
        is_block = "ConfigDict" in ast.unparse(node.value)
        if comment or not is_block:  # a block with a comment takes fields of any name
            rows.append((node.lineno, name, _default(node.value), comment))
    table = [f"| `{name}` | `{default}` | {what} |\n" for _, name, default, what in sorted(rows)]
    return _HEAD + "".join(table)


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
