"""Files as gnp writes and reads them: whole or not at all, and with one sentence if damaged."""

import json
import math
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from gnp.errors import UserError


def make_folder(path: str | os.PathLike, flag: str) -> pathlib.Path:
    """A folder that files can be written into; it is created if need be.

    Args:
      path: of the folder.
      flag: what names it, for the message.

    Raises:
      UserError: there cannot be such a folder.
    """
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder} ({flag}) cannot be created: {error.strerror}; name another."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"The folder {folder} ({flag}) cannot be written; name another.")
    return folder


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Writes a file so that whoever reads it sees the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def json_text(value: Any, indent: int | None = 2) -> str:
    """A value as JSON; numbers that JSON does not have (nan, infinities) are null.

    Args:
      value: of names, values and lists.
      indent: blanks for each level; None: all in one line.
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False) + "\n"


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object that a file of JSON holds.

    Raises:
      UserError: it is damaged; names the file and the place.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it holds no names and values")
        return content
    except ValueError as error:  # no JSON, or no text
        raise UserError(f"{path} is damaged ({error}); fix or remove it.") from error


def _finite(value):
    if isinstance(value, Mapping):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
