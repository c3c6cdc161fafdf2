"""ImageNet, or other class folders of photos of any size, processed in the same way."""

from pathlib import Path

from gnp.ds_pipeline import folder
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError


def load(config) -> LabelledData:
    """Lists `<synset>/*` below imagenet_train_dir and imagenet_val_dir.

    Classes are the sorted names of the training folders.
    """
    for field in ("imagenet_train_dir", "imagenet_val_dir"):
        if not config[field]:
            raise UserError(f"{field} is empty; set it to a folder with <class>/*.JPEG.")
    train, val = Path(config.imagenet_train_dir), Path(config.imagenet_val_dir)
    names = folder.class_names(train, "imagenet_train_dir")
    return LabelledData(
        train=folder.list_images(train, names, "imagenet_train_dir"),
        test=folder.list_images(val, names, "imagenet_val_dir"),
        class_names=names,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
