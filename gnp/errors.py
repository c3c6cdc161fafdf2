"""The exceptions that commands turn into a sentence, and the sentence for an unknown name.

Standard library only: every other module may import this one.
"""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The message is one sentence: what was given, what was expected, what to do.

    Commands print it without a traceback and exit with code 2.
    """


class TrainingError(RuntimeError):
    """Training cannot continue. The message says why and what may help.

    Commands print it without a traceback and exit with code 3.
    """


def reason(error: BaseException) -> str:
    """The first line of an error's text, cut to a length that fits into a sentence."""
    return str(error).partition("\n")[0][:200]


def unknown_name(kind: str, given: object, known: Iterable[str]) -> UserError:
    """An error for a name that is not in a table of names.

    Args:
      kind: what the name stands for, as the user would say it, such as "model".
      given: what the user wrote.
      known: the names that exist.

    Returns:
      A `UserError` that lists the known names, those nearest to the given one first.
    """

    def distance(name: str) -> float:
        return -difflib.SequenceMatcher(None, str(given).lower(), name.lower()).ratio()

    return UserError(f"Unknown {kind} {given!r}; known: {', '.join(sorted(known, key=distance))}.")
