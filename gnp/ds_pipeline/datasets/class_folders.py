"""Class folders: one folder of images per class, in a directory for training and one for tests."""

import collections
import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.labelled_data import Examples, LabelledData
from gnp.errors import UserError

_HIDDEN, _SPECIAL, _OUTSIDE = "hidden", "not regular files", "outside of the class folders"
_NESTED = "in nested folders (dataset.recursive=True reads them)"

_KINDS_NAMED = 8  # in the message about files that are passed over

_log = logging.getLogger(__name__)


class Directory(NamedTuple):
    """A directory with one folder per class.

    Attributes:
      path: of the directory; None if the field is empty.
      flag: the config field that names it, for messages.
    """

    path: Path | None
    flag: str

    def __str__(self) -> str:
        return f"{self.path} ({self.flag})"


def load(train: Directory, test: Directory | None, *, recursive: bool) -> LabelledData:
    """The image files below two directories, sorted by class and name.

    The classes are the sorted names of the training folders. Without a training directory they are
    those of the test folders: such data can be evaluated on.

    Args:
      train: of the training images.
      test: of the test images; None if they are not needed.
      recursive: also read the folders within a class folder.

    Raises:
      UserError: a directory or its images are missing, or a class folder is not a known class.
    """
    missing = _why_not_a_directory(train)
    if missing and (test is None or _why_not_a_directory(test)):
        raise UserError(missing)
    names = class_names(test if missing else train)
    nothing = Examples(np.array([], str), np.array([], np.int64))
    return LabelledData(
        train=nothing if missing else _list_training_images(train, names, recursive),
        test=nothing if test is None else _list_test_images(test, names, recursive),
        class_names=names,
        missing=missing,
    )


def class_names(directory: Directory) -> list[str]:
    """The sorted names of the class folders in a directory.

    Raises:
      UserError: there are none; the message names the config field.
    """
    if why := _why_not_a_directory(directory):
        raise UserError(why)
    entries = _scan(directory.path)
    names = sorted(e.name for e in entries if _is_folder(e) and not e.name.startswith("."))
    if not names:
        raise UserError(f"{directory} has no folders; expected one per class.")
    return names


def first_images(directory: Directory, *, recursive: bool) -> list[str]:
    """The first image file of each class that has one.

    Raises:
      UserError: there are no class folders.
    """
    files = (
        min(_images(directory.path / name, recursive, collections.Counter()), default=None)
        for name in class_names(directory)
    )
    return [file for file in files if file is not None]


def images_below(folder: Path) -> list[str]:
    """The sorted image files in a folder and in the folders within; a warning counts all others.

    Raises:
      UserError: there are none, or a folder cannot be read.
    """
    passed_over = collections.Counter()
    files = sorted(_images(folder, True, passed_over))
    _warn_of(passed_over, folder)
    if not files:
        raise UserError(f"{folder} has no images; expected {', '.join(decode.FORMATS)} files.")
    return files


def _why_not_a_directory(directory):
    path, flag = directory
    if path is not None and path.is_dir():
        return ""
    given = f"{flag} is empty" if path is None else f"{path} is not a folder"
    return f"{given}; set {flag} to a folder that has one folder of images per class."


def _list_training_images(directory, names, recursive):
    files = _images_of_classes(directory, names, recursive)
    for name in names:
        if not files[name]:
            raise UserError(
                f"The class folder {directory.path / name} ({directory.flag}) has no images; "
                f"{_expected(recursive)}."
            )
    return _examples(files, names)


def _list_test_images(directory, names, recursive):
    found = class_names(directory)
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise UserError(
            f"{directory} has the class {unknown[0]!r}, which the training set lacks; remove the "
            "folder or add training images of that class."
        )
    files = _images_of_classes(directory, found, recursive)
    if not any(files.values()):
        raise UserError(f"{directory} has no images; {_expected(recursive)}.")
    return _examples(files, names)


def _expected(recursive):
    nested = "" if recursive else " in this folder itself, or dataset.recursive=True"
    return f"expected {', '.join(decode.FORMATS)} files{nested}"


def _examples(files, names):
    paths = [path for name in names for path in files.get(name, ())]
    counts = [len(files.get(name, ())) for name in names]
    return Examples(np.array(paths, str), np.repeat(np.arange(len(names)), counts))


def _images_of_classes(directory, names, recursive):
    """The sorted image files of each class; a warning counts all other files."""
    passed_over = collections.Counter()
    for entry in _scan(directory.path):
        if not _is_folder(entry):
            passed_over[_OUTSIDE] += 1
        elif entry.name.startswith("."):
            passed_over[_HIDDEN] += _count_files(entry.path)
    files = {name: sorted(_images(directory.path / name, recursive, passed_over)) for name in names}
    _warn_of(passed_over, directory)
    return files


def _warn_of(passed_over, directory):
    if total := passed_over.total():
        kinds = (+passed_over).most_common()
        named = [f"{count} {kind}" for kind, count in kinds[:_KINDS_NAMED]]
        rest = sum(count for _, count in kinds[_KINDS_NAMED:])
        named += [f"{rest} others"] if rest else []
        counted = "1 file" if total == 1 else f"{total} files"
        _log.warning("%s: %s passed over: %s.", directory, counted, ", ".join(named))


def _images(folder, recursive, passed_over):
    """The image files of a folder, unsorted; counts all other files by kind."""
    pending, seen = [folder], set()
    while pending:
        current = pending.pop()
        real = os.path.realpath(current)
        if real in seen:  # a link to a folder above it
            continue
        seen.add(real)
        for entry in _scan(current):
            if not _is_folder(entry):
                if not (kind := _why_no_image(entry)):
                    yield entry.path
                else:
                    passed_over[kind] += 1
            elif entry.name.startswith("."):
                passed_over[_HIDDEN] += _count_files(entry.path)
            elif recursive:
                pending.append(entry.path)
            else:
                passed_over[_NESTED] += _count_files(entry.path)


def _why_no_image(entry):
    """The kind of a file that is passed over; "" for an image, by its name or else its content."""
    if entry.name.startswith("."):
        return _HIDDEN
    has_ending = entry.name.lower().endswith(decode.endings())
    if not _is_regular_file(entry):
        is_broken_link = entry.is_symlink() and not os.path.exists(entry.path)
        return "" if is_broken_link and has_ending else _SPECIAL
    if has_ending or decode.is_image(entry.path):
        return ""
    return Path(entry.name).suffix.lower() or "without an ending"


def _count_files(folder):
    return sum(len(files) for _, _, files in os.walk(folder))


# An entry knows what it is without asking the disk, but fails at a link to itself.
def _is_folder(entry):
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _is_regular_file(entry):
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def _scan(directory):
    try:
        return list(os.scandir(directory))
    except OSError as error:
        raise UserError(f"{directory} cannot be read: {error.strerror}.") from error
