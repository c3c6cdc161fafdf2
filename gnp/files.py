"""Files as gnp writes and reads them: whole or not at all, and with one sentence if damaged."""

import contextlib
import json
import math
import os
import pathlib
import stat
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from gnp.errors import CannotWriteError, UserError, printable

# No file of ours nests deeper than a few levels; Python's own limit is about a thousand.
_DEEPEST = 100


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


def file_to_write(path: pathlib.Path, flag: str) -> pathlib.Path:
    """The file that a flag names; its folder exists, and there is nothing else in its place.

    Raises:
      UserError: there is, or the folder cannot be created or written.
    """
    found = kind(path)
    if found not in ("a file", "nothing"):
        raise UserError(f"{flag} is {path}, which is {found}; name a file.")
    make_folder(path.parent, flag)
    return path


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Writes a file so that whoever reads it sees the old content or the new, never a part.

    Raises:
      CannotWriteError: it cannot be written; the old content is as it was.
    """
    data = printable(content).encode() if isinstance(content, str) else content
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise CannotWriteError(path, error) from error


def require_checkpoint_path(path: pathlib.Path, advice: str) -> None:
    """Makes sure that the library that writes and reads checkpoints can take a path.

    Args:
      path: absolute or not.
      advice: what to do otherwise.

    Raises:
      UserError: the path has bytes that are not UTF-8, or backslashes, which are taken for slashes.
    """
    absolute = str(path.absolute())
    if printable(absolute) != absolute or "\\" in absolute:
        what = "backslashes" if "\\" in absolute else "bytes that are not UTF-8"
        raise UserError(
            f"{printable(absolute)} has {what}, so checkpoints cannot be written or read there; "
            f"{advice}."
        )


def is_at(file: IO, path: pathlib.Path) -> bool:
    """Whether an open file is the one that its path names, and not deleted or replaced."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def kind(path: pathlib.Path) -> str:
    """What is at a path, as words of a sentence: "a file", "a folder", "nothing" or others.

    Raises:
      OSError: that cannot be told.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a link to nothing" if path.is_symlink() else "nothing"
    if stat.S_ISREG(mode):
        return "a file"
    return "a folder" if stat.S_ISDIR(mode) else "no plain file"  # such as a pipe


def read_bytes(path: pathlib.Path) -> bytes:
    """What a plain file holds; a pipe, say, is not waited for.

    Raises:
      UserError: there is no plain file, or it cannot be read.
    """
    try:
        found = kind(path)
        if found == "a file":
            return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); fix or remove it.") from error
    if found == "nothing":
        raise UserError(f"There is no file {path}.")
    raise UserError(f"{path} is {found}, but a file belongs there; move it away.")


def read_text(path: pathlib.Path) -> str:
    """The text of a file.

    Raises:
      UserError: there is no plain file, or it is not text.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged ({error}); fix or remove it.") from error


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
    text = read_text(path)
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it holds no names and values")
        if _is_deeper(content, _DEEPEST):
            raise ValueError(f"it nests deeper than {_DEEPEST} levels")
        return content
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); fix or remove it.") from error


def _is_deeper(content, levels):
    level = [content]
    for _ in range(levels):
        inner = [x.values() if isinstance(x, dict) else x for x in level]
        level = [x for values in inner for x in values if isinstance(x, dict | list)]
    return bool(level)


def _finite(value):
    if isinstance(value, Mapping):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
