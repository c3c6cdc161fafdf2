"""ImageNet, or other class folders of photos of any size, processed in the same way."""

import dataclasses
from pathlib import Path

from gnp.ds_pipeline.datasets import class_folders
from gnp.ds_pipeline.labelled_data import LabelledData


def load(config) -> LabelledData:
    """Lists `<synset>/*` below imagenet_train_dir and imagenet_val_dir.

    With use_test_set=False only the first is needed. To evaluate, only the second one is needed.
    """
    train, val = _directory(config, "imagenet_train_dir"), _directory(config, "imagenet_val_dir")
    is_for_evaluation_alone = train.path is None or not train.path.is_dir()
    test = val if config.use_test_set or is_for_evaluation_alone else None
    data = class_folders.load(train, test, recursive=config.dataset.recursive)
    return dataclasses.replace(data, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def num_classes(config) -> int:
    """The number of folders below imagenet_train_dir."""
    return len(class_folders.class_names(_directory(config, "imagenet_train_dir")))


def num_channels(config) -> int:
    """Three: photos are RGB."""
    del config
    return 3


def _directory(config, field):
    return class_folders.Directory(Path(config[field]) if config[field] else None, field)
