"""Tables of paths and labels: CSV or Parquet files."""

import csv
import functools
from pathlib import Path

import numpy as np

from gnp.ds_pipeline.datasets.image_folder import EVALUATION_FOLDERS
from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.labelled_data import Examples, LabelledData
from gnp.errors import UserError, missing_library, reason

_FIELD = "dataset.data_dir"
_COLUMNS = ["path", "label"]
_SUFFIXES = (".csv", ".parquet")


def load(config) -> LabelledData:
    """Reads train.csv and val.csv (or valid, validation, test; or .parquet) in dataset.data_dir.

    The columns `path` and `label` count. A path is relative to the folder. The classes are the
    labels of train, sorted: as numbers if all are numbers, else as texts. With dataset.multi_label
    a cell has any number of labels, separated by semicolons.
    """
    several = config.dataset.multi_label
    root = _root(config)
    train = _find(root, ["train"])
    test = _find(root, EVALUATION_FOLDERS)
    needs_test = config.use_test_set or train is None
    if needs_test and test is None:
        raise UserError(
            f"{root} ({_FIELD}) has no table for evaluation, such as val.csv; add it, or set "
            "use_test_set=False to evaluate on a tenth of train."
        )
    missing = "" if train else f"{root} ({_FIELD}) has no train.csv or train.parquet; add it."
    names = _class_names(train or test, several)
    nothing = Examples(np.array([], str), np.array([], np.int64))
    return LabelledData(
        train=_examples(train, names, several) if train else nothing,
        test=_examples(test, names, several) if needs_test else nothing,
        class_names=names,
        missing=missing,
    )


def num_classes(config) -> int:
    """The number of different labels in train."""
    return len(_class_names(_training_table(config), config.dataset.multi_label))


def num_channels(config) -> int:
    """1 if the first image of train is gray, else 3."""
    path, _ = _read(_training_table(config), config.dataset.multi_label)[0]
    return 1 if decode.is_gray(path) else 3


def _root(config):
    root = Path(config.dataset.data_dir)
    if not config.dataset.data_dir or not root.is_dir():
        given = f"{root} is not a folder" if config.dataset.data_dir else f"{_FIELD} is empty"
        raise UserError(
            f"{given}; set {_FIELD} to a folder with train.csv and val.csv, each with the columns "
            "path and label."
        )
    return root


def _training_table(config):
    root = _root(config)
    if file := _find(root, ["train"]):
        return file
    raise UserError(f"{root} ({_FIELD}) has no train.csv or train.parquet; add it.")


def _find(root, names):
    files = (root / f"{name}{suffix}" for name in names for suffix in _SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def _class_names(file, several):
    names = {name for _, labels in _read(file, several) for name in labels}
    if not names:
        raise _refused(file, "no image has a class", "name the classes of the images")
    are_numbers = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=int if are_numbers else None)


def _examples(file, names, several):
    rows = _read(file, several)
    label_of = {name: label for label, name in enumerate(names)}
    unknown = sorted({name for _, labels in rows for name in labels} - label_of.keys())
    if unknown:
        raise _refused(
            file,
            f"it has the class {unknown[0]!r}, which the training set lacks",
            "remove its rows or add training images of that class",
        )
    paths = np.array([path for path, _ in rows], str)
    if not several:
        return Examples(paths, np.array([label_of[label] for _, (label,) in rows], np.int64))
    matrix = np.zeros((len(rows), len(names)), np.uint8)
    for row, (_, labels) in zip(matrix, rows, strict=True):
        row[[label_of[name] for name in labels]] = 1
    return Examples(paths, matrix)


@functools.lru_cache(maxsize=2)
def _rows_of(file, modified_ns, several):
    """(path, labels) of each row; kept, as one start of a run asks several times."""
    del modified_ns
    rows = _read_csv(file) if file.suffix == ".csv" else _read_parquet(file)
    if not rows:
        raise _refused(file, "it has no rows", "add one per image")
    for number, (path, label) in enumerate(rows, start=1):
        if not path or not (label or several):
            raise _refused(file, f"row {number} lacks a path or a label", "give both")
        if ";" in label and not several:
            raise _refused(
                file,
                f"row {number} has the label {label!r}",
                "set dataset.multi_label=True if these are several classes, or name the class "
                "without a semicolon",
            )
    return [(str(file.parent / path), _labels_in(label)) for path, label in rows]


def _labels_in(cell):
    """What semicolons separate; of one label without them that label."""
    return tuple(name for name in map(str.strip, cell.split(";")) if name)


def _read(file, several):
    return _rows_of(file, file.stat().st_mtime_ns, several)


def _read_csv(file):
    try:
        # "utf-8-sig" skips the byte order mark that spreadsheets write.
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            header = [name.strip() for name in next(reader, [])]
            places = [header.index(name) for name in _COLUMNS] if _has_columns(header) else None
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _refused(file, f"it cannot be read ({reason(error)})", "write CSV") from error
    if places is None:
        raise _without_columns(file, header)
    for line, row in rows:
        if len(row) != len(header):
            raise _refused(
                file, f"line {line} has {len(row)} values", f"write {len(header)}, as in its header"
            )
    return [tuple(row[place].strip() for place in places) for _, row in rows]


def _read_parquet(file):
    try:
        from pyarrow import parquet
    except ImportError as error:
        instead = "write a .csv file"
        raise missing_library(str(file), "pyarrow", "parquet", error, instead) from error
    try:
        content = parquet.ParquetFile(file)
        header = content.schema_arrow.names
        table = content.read(_COLUMNS).to_pydict() if _has_columns(header) else None
    except Exception as error:  # pyarrow raises many types on damaged files
        raise _refused(file, f"it cannot be read ({reason(error)})", "write Parquet") from error
    if table is None:
        raise _without_columns(file, header)
    columns = (("" if x is None else str(x) for x in table[name]) for name in _COLUMNS)
    return list(zip(*columns, strict=True))


def _has_columns(header):
    return all(header.count(name) == 1 for name in _COLUMNS)


def _without_columns(file, header):
    return _refused(
        file,
        f"its header is {','.join(map(str, header))[:80]!r}",
        "give it the columns path and label",
    )


def _refused(file, fault, remedy):
    return UserError(f"{file} ({_FIELD}) cannot be used: {fault}; {remedy}.")
