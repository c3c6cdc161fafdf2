"""Training labels from a file, such as the human labels of CIFAR-10N (arXiv 2110.12088)."""

import csv
import os
from pathlib import Path

import numpy as np

from gnp.ds_pipeline.labelled_data import Examples
from gnp.errors import UserError, reason

_FIELD = "dataset.train_labels"
_HEADERS = (["path", "label"], ["index", "label"])


def read(file: str, train: Examples, class_names: list[str]) -> np.ndarray:
    """One label for each training image.

    Two formats are supported:
    - `.npy`: integers, one per image, in the order of the source;
    - `.csv`: the header `index,label` or `path,label` and one row per image. Indices count the
      images in the order of the source, from 0. A path may omit leading folders if only one image
      matches. A label is the name or the number of a class; names take precedence.

    Args:
      file: its path.
      train: the training set, as its source loads it.
      class_names: in the order of the labels.

    Returns:
      int64, one per training image.

    Raises:
      UserError: the file is missing or damaged, or does not match the training set.
    """
    path = Path(file)
    readers = {".npy": _read_npy, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise UserError(
            f"{_FIELD} is {file!r}; expected a .npy file of integers or a .csv file with the "
            "header path,label or index,label."
        )
    if not path.is_file():
        raise UserError(
            f"{path} ({_FIELD}) is not a file; name one with a label per training image."
        )
    return readers[path.suffix.lower()](path, train, class_names)


def _read_npy(path, train, class_names):
    try:
        with path.open("rb") as content:
            labels = np.lib.format.read_array(content, allow_pickle=False)
    except Exception as error:  # numpy raises many types on damaged files
        raise _refused(path, f"it is not a .npy file ({reason(error)})", "save integers") from error
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(train),):
        raise _refused(
            path,
            f"it holds {labels.dtype} of shape {labels.shape}",
            f"save {len(train)} integers, one per training image",
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(wrong):
        raise _refused(
            path,
            f"label {wrong[0]} is {labels[wrong[0]]}",
            f"save numbers of classes, 0 to {len(class_names) - 1}",
        )
    return labels.astype(np.int64)


def _read_csv(path, train, class_names):
    has_paths, rows = _rows(path)
    if has_paths and train.images.dtype == np.uint8:
        raise _refused(
            path,
            "it has paths, but this data set has no file per image",
            "use the header index,label",
        )
    place_of = _Paths(train.images).place if has_paths else _place_by_index(len(train))
    class_of = {str(label): label for label in range(len(class_names))}
    class_of |= {name: label for label, name in enumerate(class_names)}
    labels = np.full(len(train), -1, np.int64)
    for line, (image, label) in rows:
        try:
            place = place_of(image)
        except ValueError as error:
            raise _refused(path, f"line {line} {error}", "name each training image once") from None
        if labels[place] >= 0:
            raise _refused(path, f"line {line} names {image!r} again", "name each image once")
        if label not in class_of:
            raise _refused(
                path,
                f"line {line} has the unknown class {label!r}",
                f"write a class name, or a number from 0 to {len(class_names) - 1}",
            )
        labels[place] = class_of[label]
    missing = np.flatnonzero(labels < 0)
    if len(missing):
        first = str(train.images[missing[0]]) if has_paths else f"index {missing[0]}"
        raise _refused(
            path,
            f"it has no label for {len(missing)} of {len(train)} training images, such as {first}",
            "add a row for each",
        )
    return labels


def _rows(path):
    """Whether images are given by path, and (line number, [image, label]) of each row."""
    try:
        # "utf-8-sig" skips the byte order mark that spreadsheets write.
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, [x.strip() for x in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refused(path, f"it cannot be read ({reason(error)})", "write CSV") from error
    if header not in _HEADERS:
        raise _refused(
            path,
            f"its header is {','.join(header)[:80]!r}",
            "begin it with path,label or index,label",
        )
    for line, row in rows:
        if len(row) != len(header):
            raise _refused(path, f"line {line} has {len(row)} values", "write two per line")
    return header[0] == "path", rows


def _place_by_index(count):
    def place(text):
        if not (text.isascii() and text.isdigit() and int(text) < count):
            raise ValueError(f"has the index {text[:80]!r}, which is not one of 0 to {count - 1}")
        return int(text)

    return place


class _Paths:
    """Finds the place of an image by its absolute path, or by the last components of it."""

    def __init__(self, paths):
        self._paths = [Path(os.path.abspath(path)).parts for path in paths]
        self._tables = {}  # number of components -> components -> place, or None if ambiguous

    def place(self, text):
        parts = Path(os.path.normpath(text)).parts
        # The absolute paths have no "..".
        parts = parts[parts.count("..") :]
        table = self._table(len(parts))
        if parts not in table:
            raise ValueError(f"names {text!r}, which is not a training image")
        if table[parts] is None:
            raise ValueError(f"names {text!r}, which matches several training images")
        return table[parts]

    def _table(self, count):
        if count not in self._tables:
            table = self._tables[count] = {}
            for place, parts in enumerate(self._paths):
                key = parts[-count:]
                table[key] = None if key in table else place
        return self._tables[count]


def _refused(path, fault, remedy):
    return UserError(f"{path} ({_FIELD}) cannot be used: {fault}; {remedy}.")
