"""The exceptions that commands turn into a sentence, and the sentence for an unknown name.

Standard library only: every other module may import this one.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class UserError(ValueError):
    """Bad input. The message is one sentence: what was given, what was expected, what to do.

    Commands print it without a traceback and exit with code 2.

    >>> try:
    ...     gnp.load_config("digits", {"gnp.radius": 0.1})
    ... except UserError as error:
    ...     print(error)
    ...
    --config sets gnp.radius, but there is no such field; nearest: ...
    """


class CannotWriteError(UserError):
    """A file cannot be written: the disk is full, the folder is gone or may not be written."""

    def __init__(self, path: object, error: OSError):
        why = reason(error.strerror or error)
        super().__init__(
            f"{path} cannot be written ({why}); make room there, or name another folder."
        )


class TrainingError(RuntimeError):
    """Training cannot continue. The message says why and what may help.

    Commands print it without a traceback and exit with code 3.

    >>> try:
    ...     raise TrainingError("Step 2: loss or gradient is not finite in pass 1.")  # by gnp.train
    ... except TrainingError as error:
    ...     print(error)
    ...
    Step 2: loss or gradient is not finite in pass 1.
    """


class SkippedError(RuntimeError):
    """A part of what a command was given was skipped. The message says how much.

    Commands print it without a traceback, after the results, and exit with code 1.
    """


class NotSavedError(RuntimeError):
    """Training came to its end, but not all of it is on disk. The message says what is not.

    Commands print it without a traceback, after the results, and exit with code 4.

    >>> NotSavedError("metrics.jsonl cannot be written.", summary={"steps": 660}).summary["steps"]
    660

    Attributes:
      summary: what `summary.json` holds, or would hold.
    """

    def __init__(self, message: str, summary: Mapping[str, Any]):
        super().__init__(message)
        self.summary = summary


def reason(error: object) -> str:
    """The first line of an error's text, its middle cut out if it does not fit into a sentence."""
    line = str(error).partition("\n")[0]
    return line if len(line) <= 200 else f"{line[:100]} … {line[-100:]}"


def printable(text: object) -> str:
    """A text that any file and any picture takes.

    Python reads names of files that are not UTF-8 with lone surrogates in the place of bytes; they
    become the replacement character.
    """
    return str(text).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def missing_library(
    what: str, library: str, extra: str, error: object = None, instead: str = ""
) -> UserError:
    """An error for a library that is not installed, or cannot be imported.

    Args:
      what: needs the library, such as "dataset.dataset_name=tfds".
      library: its name.
      extra: of this package, which installs it.
      error: why it cannot be imported; None: it is not there.
      instead: what else the user may do, such as "use --format=jax".

    Returns:
      A `UserError` that says how to install it.
    """
    why = f"which cannot be imported ({reason(error)})" if error else "which is not installed"
    command = f'pip install "gnp-jax[{extra}]"'
    return UserError(
        f"{what} needs {library}, {why}; install it with {command}"
        f"{', or ' + instead if instead else ''}."
    )


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
