"""Ways to damage what lies at a path: each is a function of it."""

import json
import os
import shutil


def truncate(path):
    _change(path, lambda content: content[: len(content) // 2])


def flip(path):
    def flipped(content):
        middle = len(content) // 2
        content = content or b"\0"
        return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]

    _change(path, flipped)


def empty(path):
    _change(path, lambda content: b"")


def other_type(path):
    """JSON, but not what belongs there."""
    _change(path, lambda content: json.dumps([1, {"a": None}]).encode() + b"\n")


def other_encoding(path):
    _change(path, lambda content: content.decode("latin-1").encode("utf-16"))


def delete(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def folder(path):
    """A folder in the place of a file."""
    path.unlink()
    path.mkdir()


def file(path):
    """A file in the place of a folder."""
    shutil.rmtree(path)
    path.write_text("{}")


def pipe(path):
    """What would be waited for if it were read."""
    delete(path)
    os.mkfifo(path)


def _change(path, change):
    path.write_bytes(change(path.read_bytes()))


OF_FILES = (truncate, flip, empty, other_type, other_encoding, delete, folder, pipe)
OF_FOLDERS = (delete, file, pipe)
