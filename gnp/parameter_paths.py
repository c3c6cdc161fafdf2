"""Choosing parameters and layers by patterns of their paths."""

import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

from gnp.errors import UserError

_PATHS_SHOWN = 20  # in a message


def matching(patterns: Sequence[str], paths: Iterable[str], field: str) -> list[str]:
    """The paths that one of the patterns matches, in their order.

    Args:
      patterns: as in a shell: `*` is any text, slashes too, `?` one character, `[ab]` a or b.
      paths: such as `block0/conv/kernel`.
      field: where the patterns come from, for the message.

    Raises:
      UserError: a pattern matches no path; the message lists those there are.
    """
    return list(first_matches([(pattern,) for pattern in patterns], paths, field))


def first_matches(
    rules: Sequence[tuple], paths: Iterable[str], field: str
) -> dict[str, tuple[Any, ...]]:
    """What the first rule whose pattern matches says about each path.

    Args:
      rules: a pattern and what it says, `(pattern, ...)`.
      paths: those to choose from.
      field: where the rules come from, for the message.

    Returns:
      For each path that is matched the first matching rule without its pattern.

    Raises:
      UserError: a pattern is no text or matches no path; the message lists those there are.
    """
    paths = list(paths)
    for pattern, *_ in rules:
        if not isinstance(pattern, str):
            raise UserError(f"{field} has {pattern!r}; a pattern is a text such as '*/kernel'.")
        if not fnmatch.filter(paths, pattern):
            more = len(paths) - _PATHS_SHOWN
            raise UserError(
                f"{field} has the pattern {pattern!r}, which matches nothing; there are: "
                f"{', '.join(paths[:_PATHS_SHOWN])}{f' and {more} more' if more > 0 else ''}."
            )
    found = {}
    for path in paths:
        for pattern, *rest in rules:
            if fnmatch.fnmatchcase(path, pattern):
                found[path] = tuple(rest)
                break
    return found
