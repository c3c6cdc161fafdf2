"""Class folders: `train/<class>/*` and `test/<class>/*` or `val/<class>/*`."""

import os
from pathlib import Path

import numpy as np

from gnp.ds_pipeline.labelled_data import Examples
from gnp.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def class_names(directory: Path, flag: str) -> list[str]:
    """The sorted names of the class folders in a directory.

    Raises:
      UserError: there are none; the message names the config field.
    """
    if not directory.is_dir():
        raise UserError(
            f"{directory} is not a folder; set {flag} to one that has one folder of images per "
            "class."
        )
    names = sorted(e.name for e in _scan(directory) if e.is_dir() and not e.name.startswith("."))
    if not names:
        raise UserError(f"{directory} ({flag}) has no folders; expected one per class.")
    return names


def list_images(directory: Path, names: list[str], flag: str) -> Examples:
    """The image files below a directory, sorted by class and name.

    Hidden files and files with other extensions than those of images are skipped.

    Args:
      directory: has one folder per class.
      names: the classes, in the order of the labels; a class without a folder has no images.
      flag: the config field that names the directory, for error messages.

    Raises:
      UserError: a folder is not a known class, cannot be read, or has no images.
    """
    found = class_names(directory, flag)
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise UserError(
            f"{directory} ({flag}) has the class {unknown[0]!r}, which the training set lacks; "
            "remove the folder or add training images of that class."
        )
    paths, labels = [], []
    for name in found:
        in_class = _image_files(directory / name, flag)
        paths += in_class
        labels += [names.index(name)] * len(in_class)
    return Examples(np.array(paths), np.array(labels, np.int64))


def _image_files(directory, flag):
    paths = sorted(
        entry.path
        for entry in _scan(directory)
        if entry.name.lower().endswith(EXTENSIONS) and not entry.name.startswith(".")
    )
    if not paths:
        raise UserError(
            f"The class folder {directory} ({flag}) has no images; expected files that end in "
            f"{', '.join(EXTENSIONS)}."
        )
    return paths


def _scan(directory):
    try:
        return list(os.scandir(directory))
    except OSError as error:
        raise UserError(f"{directory} cannot be read: {error.strerror}.") from error
