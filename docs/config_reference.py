"""Generates the reference of all config fields from config/base.py."""

from gnp.main.fields.described import described_fields

_HEAD = """# All config fields

A config file overrides some of these fields.
The command line overrides both: `--config.FIELD=VALUE`. Quote lists there: `"['a', 'b']"`.
This page is generated from [config/base.py](../config/base.py) when the site is built.
`gnp config` prints the same fields, `gnp config PATTERN` some of them.

<div class="fields">

| field | default | description |
|---|---|---|
"""


def reference(source: str) -> str:
    """Returns a Markdown page with the default and the comment of each field.

    Args:
      source: text of config/base.py, see `described_fields`.
    """
    return (
        _HEAD
        + "".join(
            f"| `{name}` | `{default}` | {_cell(meaning)} |\n"
            for name, default, meaning in described_fields(source)
        )
        + "\n</div>\n"
    )


def _cell(text: str) -> str:
    """The text for a cell of a table, where bars and HTML have a meaning."""
    return text.replace("|", "\\|").replace("<", "&lt;")
