"""A user's own images in class folders."""

from pathlib import Path

from gnp.ds_pipeline import folder
from gnp.ds_pipeline.labelled_data import LabelledData
from gnp.errors import UserError

_FLAG = "dataset.data_dir"


def load(config) -> LabelledData:
    """Lists `train/<class>/*` and `test/<class>/*` (or `val`) below dataset.data_dir.

    Classes are the sorted names of the training folders.
    """
    if not config.dataset.data_dir:
        raise UserError(
            f"{_FLAG} is empty; set it to a folder with train/<class>/* and "
            "test/<class>/* (or val/<class>/*)."
        )
    root = Path(config.dataset.data_dir)
    names = folder.class_names(root / "train", _FLAG)
    test = root / "val" if (root / "val").is_dir() else root / "test"
    return LabelledData(
        train=folder.list_images(root / "train", names, _FLAG),
        test=folder.list_images(test, names, _FLAG),
        class_names=names,
    )
