"""A small disk of its own, where the system lets us have one."""

import contextlib
import subprocess

import pytest


class Disk:
    """A file system in memory.

    Attributes:
      folder: where it is.
    """

    def __init__(self, folder):
        self.folder = folder

    def resize(self, **options):
        _mount("-o", f"remount,{_joined(options)}", self.folder)

    def fill(self):
        """Leaves no room for anything."""
        with (self.folder / "full").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass


@contextlib.contextmanager
def disk(folder, **options):
    """Makes a disk with the options of tmpfs: `size`, `nr_inodes`."""
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", _joined(options), "tmpfs", folder)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk needs the right to mount one ({error})")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def _joined(options):
    return ",".join(f"{name}={value}" for name, value in options.items())
