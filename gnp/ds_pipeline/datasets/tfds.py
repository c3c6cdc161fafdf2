"""Any data set of tensorflow-datasets."""

from gnp.ds_pipeline.datasets import pairs, tfds_reader
from gnp.ds_pipeline.datasets.image_folder import EVALUATION_FOLDERS
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError

_FIELD = "dataset.tfds_name"


def load(config) -> LabelledData:
    """Reads the splits train and validation (or test) of the set that dataset.tfds_name names."""
    return pairs.load(_open(config), config)


def num_classes(config) -> int:
    """That of its labels."""
    return pairs.num_classes(_open(config))


def num_channels(config) -> int:
    """That of its images."""
    return pairs.num_channels(_open(config))


class _Split:
    """A split as pairs, which are read in their order."""

    def __init__(self, builder, split, keys):
        self._builder, self._split, self._keys = builder, split, keys
        self._next, self._examples = 0, None

    def __len__(self):
        return self._builder.info.splits[self._split].num_examples

    def __getitem__(self, index):
        if index == 0:
            data = self._builder.as_dataset(split=self._split, shuffle_files=False)
            self._examples = data.as_numpy_iterator()
        elif index != self._next:
            raise ValueError(f"{index} is read after {self._next}")
        self._next = index + 1
        example = next(self._examples)
        return tuple(example[key] for key in self._keys)


def _open(config):
    name = config.dataset.tfds_name
    if not name:
        raise UserError(f"{_FIELD} is empty; name a set of tensorflow-datasets, such as mnist.")
    instead = f"set {_FIELD} to the name of another set, or prepare it there"
    builder = tfds_reader.prepared(name, name, config.tfds_dir, instead)
    features = dict(builder.info.features.items())
    keys = builder.info.supervised_keys or ("image", "label")
    if len(keys) != 2 or not hasattr(features.get(keys[1]), "names") or keys[0] not in features:
        raise UserError(
            f"{name} ({_FIELD}) has the features {', '.join(features)}, not an image and a class; "
            "name a set for classification."
        )
    splits = [split for split in ("train", *EVALUATION_FOLDERS) if split in builder.info.splits]
    parts = {split: _Split(builder, split, keys) for split in splits}
    test = next((parts[split] for split in splits if split != "train"), None)
    return pairs.PairSet(f"{name} ({_FIELD})", parts.get("train"), test, features[keys[1]].names)
