"""Data sets of Hugging Face, on disk."""

import os

from gnp.ds_pipeline.datasets import pairs
from gnp.ds_pipeline.datasets.image_folder import EVALUATION_FOLDERS
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError, missing_library, reason

_FIELD = "dataset.data_dir"


def load(config) -> LabelledData:
    """Reads dataset.data_dir, which `save_to_disk` of the library `datasets` has written.

    Its splits are train and validation (or val, valid, test). Of the columns, the one of images and
    the one of classes count.
    """
    return pairs.load(_open(config), config)


def num_classes(config) -> int:
    """That of the column of classes."""
    return pairs.num_classes(_open(config))


def num_channels(config) -> int:
    """That of the first image."""
    return pairs.num_channels(_open(config))


class _Split:
    """A split as pairs."""

    def __init__(self, split, image, label):
        self._split, self._image, self._label = split, image, label

    def __len__(self):
        return len(self._split)

    def __getitem__(self, index):
        row = self._split[index]
        return row[self._image], row[self._label]


def _open(config):
    name = f"{config.dataset.data_dir} ({_FIELD})"
    datasets = _library()
    try:
        found = datasets.load_from_disk(os.path.expanduser(config.dataset.data_dir))
    except Exception as error:  # of many types
        raise UserError(
            f"{name} cannot be read ({reason(error)}); name a folder that save_to_disk of the "
            "library datasets has written."
        ) from error
    if isinstance(found, datasets.Dataset):
        found = {"train": found}
    splits = [split for split in ("train", *EVALUATION_FOLDERS) if split in found]
    if not splits:
        raise UserError(
            f"{name} has the splits {', '.join(found)}; give it train and validation or test."
        )
    features = found[splits[0]].features
    image = _column(features, datasets.Image, "image", name)
    label = _column(features, datasets.ClassLabel, "label", name)
    parts = {split: _Split(found[split], image, label) for split in splits}
    test = next((parts[split] for split in splits if split != "train"), None)
    return pairs.PairSet(name, parts.get("train"), test, features[label].names)


def _column(features, kind, usual, name):
    """The only column of a kind, or that with the usual name."""
    columns = [column for column, feature in features.items() if isinstance(feature, kind)]
    if usual in columns:
        return usual
    if len(columns) != 1:
        raise UserError(
            f"{name} has the columns {', '.join(f'{c} ({f})' for c, f in features.items())[:200]}; "
            f"give it one {kind.__name__}, or call one of several {usual!r}."
        )
    return columns[0]


def _library():
    try:
        import datasets
    except ImportError as error:
        what = "dataset.dataset_name=huggingface"
        raise missing_library(what, "the library datasets", "hf", error) from error
    return datasets
