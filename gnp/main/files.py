"""Folders that commands write into, made before anything is computed for them."""

import os
import pathlib

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
