"""Tar files in the format of WebDataset."""

from pathlib import Path

from gnp.ds_pipeline.datasets import pairs
from gnp.ds_pipeline.datasets.image_folder import EVALUATION_FOLDERS
from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError, missing_library, reason

CLASSES_FILE = "classes.txt"

_FIELD = "dataset.data_dir"


def load(config) -> LabelledData:
    """Reads train*.tar and val*.tar (or valid, validation, test) in dataset.data_dir.

    A sample is an image with any ending, and its label in a file with the ending cls. The file
    classes.txt may name the classes, one per line.
    """
    return pairs.load(_open(config), config)


def num_classes(config) -> int:
    """That of classes.txt, or else of the labels."""
    return pairs.num_classes(_open(config))


def num_channels(config) -> int:
    """That of the first image."""
    return pairs.num_channels(_open(config))


def _open(config):
    root = Path(config.dataset.data_dir)
    name = f"{root} ({_FIELD})"
    if not config.dataset.data_dir or not root.is_dir():
        raise UserError(f"{name} is not a folder; name one with train*.tar and val*.tar.")
    train = _part(root, ["train"])
    test = _part(root, EVALUATION_FOLDERS)
    if train is None and test is None:
        raise UserError(f"{name} has no train*.tar; add it.")
    classes = root / CLASSES_FILE
    names = classes.read_text().split("\n") if classes.is_file() else None
    names = names and [line.strip() for line in names if line.strip()]
    return pairs.PairSet(name, train, test, names, train and train.labels)


def _part(root, names):
    """The samples of the first of these names that there are shards of; None: there are none."""
    shards = next(filter(None, (sorted(root.glob(f"{name}*.tar")) for name in names)), None)
    if shards is None:
        return None
    images, labels = [], []
    for sample in _samples(shards):
        image, label = _image_and_label(sample)
        images.append(image)
        labels.append(label)
    return pairs.ArrayPairs(images, labels, str(shards[0]))


def _samples(shards):
    try:
        import webdataset
    except ImportError as error:
        what = "dataset.dataset_name=webdataset"
        raise missing_library(what, "the library webdataset", "webdataset", error) from error
    try:
        # Every process reads all shards: which images it loads is decided later.
        yield from webdataset.WebDataset(
            list(map(str, shards)), shardshuffle=False, nodesplitter=None, workersplitter=None
        )
    except Exception as error:  # of many types
        raise UserError(
            f"{shards[0]} or a shard beside it cannot be read ({reason(error)}); fix it."
        ) from error


def _image_and_label(sample):
    """The bytes of an image and the number of its class."""
    place = f"The sample {sample['__key__']} of {sample['__url__']}"
    images = [key for key in sample if f".{key.lower()}" in decode.endings()]
    if len(images) != 1 or "cls" not in sample:
        endings = sorted(key for key in sample if not key.startswith("__"))
        raise UserError(
            f"{place} has the files {', '.join(endings)}; give it an image and its label, cls."
        )
    try:
        return sample[images[0]], int(sample["cls"])
    except ValueError as error:
        raise UserError(
            f"{place} has the label {reason(sample['cls'])}; give the number of its class, from 0."
        ) from error
