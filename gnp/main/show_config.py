"""Prints the fields of a config: name, value and meaning.

python -m gnp.main.show_config [PATTERN …] [--config=digits] [--config.FIELD=VALUE …]

Without --config, the values are the defaults. A pattern is a part of a field's name or of its
meaning, or a name with * and ?, such as 'gnp.*'.
"""

import fnmatch
import functools
import operator
from collections.abc import Sequence
from typing import Any

from absl import flags

from gnp.errors import UserError
from gnp.main import app, config
from gnp.main.fields.described import DescribedField, nearest_fields
from gnp.main.fields.values import shown

# Longer assignments push the meaning to the right.
_WIDEST = 48


def define_flags() -> None:
    """The flags of this command."""
    flags.adopt_module_key_flags(config)


def main(patterns: Sequence[str]) -> None:
    """Prints the fields that match one of the patterns; without patterns all."""
    values = config.load_config(flags.FLAGS.config or str(config.BASE), config.overrides())
    fields = config.all_fields()
    for pattern in patterns:
        if not any(_matches(field, pattern) for field in fields):
            nearest = ", ".join(nearest_fields(pattern, fields))
            raise UserError(
                f"No field has {shown(pattern)} in its name or meaning; "
                + (f"nearest: {nearest}." if nearest else "without a pattern, all are printed.")
            )
    found = [f for f in fields if not patterns or any(_matches(f, p) for p in patterns)]
    print("\n".join(lines(found, values)))


def lines(fields: Sequence[DescribedField], values: Any) -> list[str]:
    """`NAME = VALUE` and the meaning of each field; a default that is overridden is added.

    Args:
      fields: of config/base.py.
      values: a resolved config.
    """
    assignments = [_assignment(field, values) for field in fields]
    width = min(max(map(len, assignments)), _WIDEST)
    return [
        f"{assignment:<{width}}  {field.meaning}"
        for field, assignment in zip(fields, assignments, strict=True)
    ]


def _assignment(field, values):
    value = functools.reduce(operator.getitem, field.name.split("."), values)
    value = value.to_dict() if hasattr(value, "to_dict") else value
    text = "unset" if value is None else shown(value)
    default = "" if text == field.default else f" (default {field.default})"
    return f"{field.name} = {text}{default}"


def _matches(field, pattern):
    pattern = pattern.lower()
    if fnmatch.fnmatchcase(field.name.lower(), pattern):
        return True
    return pattern in field.name.lower() or pattern in field.meaning.lower()


if __name__ == "__main__":
    app.run(main, define_flags, arguments="PATTERN")
