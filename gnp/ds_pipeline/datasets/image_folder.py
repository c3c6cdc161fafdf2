"""A user's own images in class folders."""

import logging
from pathlib import Path

from gnp.ds_pipeline.datasets import class_folders
from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError

_FLAG = "dataset.data_dir"

# Names of the folder for evaluation; of several the first is read.
EVALUATION_FOLDERS = ("val", "valid", "validation", "test")

_log = logging.getLogger(__name__)


def load(config) -> LabelledData:
    """Lists `train/<class>/*` and `val/<class>/*` below dataset.data_dir.

    With use_test_set=False only `train` is needed. To evaluate, only the other one is needed.
    """
    root = _root(config)
    train = root / "train"
    is_for_evaluation_alone = not train.is_dir() and bool(_evaluation_folders(root))
    needs_test = config.use_test_set or is_for_evaluation_alone
    test = _evaluation_folder(root) if needs_test else None
    directory = class_folders.Directory(train, _FLAG)
    return class_folders.load(directory, test, recursive=config.dataset.recursive)


def num_classes(config) -> int:
    """The number of class folders."""
    return len(class_folders.class_names(_directory_of_classes(config)))


def num_channels(config) -> int:
    """1 if the first image of each class is gray, else 3."""
    directory = _directory_of_classes(config)
    firsts = class_folders.first_images(directory, recursive=config.dataset.recursive)
    return 1 if firsts and all(map(decode.is_gray, firsts)) else 3


def _directory_of_classes(config):
    """That of training, or where there is none that of evaluation."""
    root = _root(config)
    name = next(
        filter(lambda name: (root / name).is_dir(), ("train", *EVALUATION_FOLDERS)), "train"
    )
    return class_folders.Directory(root / name, _FLAG)


def _root(config):
    if not config.dataset.data_dir:
        raise UserError(
            f"{_FLAG} is empty; set it to a folder with train/<class>/* and val/<class>/* "
            f"({_alternatives()})."
        )
    return Path(config.dataset.data_dir)


def _evaluation_folders(root):
    return [name for name in EVALUATION_FOLDERS if (root / name).is_dir()]


def _evaluation_folder(root):
    found = _evaluation_folders(root)
    if not found:
        if not root.is_dir():
            raise UserError(f"{root} is not a folder; set {_FLAG} to one with train/<class>/*.")
        there = sorted(path.name for path in root.iterdir() if path.is_dir())
        raise UserError(
            f"{root} ({_FLAG}) has no folder for evaluation: expected val ({_alternatives()}), "
            f"found {', '.join(there) or 'no folder'}; add it, or set use_test_set=False to "
            "evaluate on a tenth of train."
        )
    if len(found) > 1:
        _log.warning(
            "%s (%s) has %s; evaluating on %s.", root, _FLAG, " and ".join(found), found[0]
        )
    return class_folders.Directory(root / found[0], _FLAG)


def _alternatives():
    return "or " + ", ".join(EVALUATION_FOLDERS[1:])
