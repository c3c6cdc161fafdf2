"""Whether the data are those that the config describes."""

import logging
from typing import Any

from gnp.ds_pipeline.labelled_data import LabelledData, images_per_class
from gnp.errors import UserError

_CLASSES_NAMED = 10  # in a warning

_log = logging.getLogger(__name__)


def check_classes(data: LabelledData, dataset: Any) -> None:
    """Raises a UserError unless there are two classes, and as many as the config says."""
    if len(data.class_names) < 2:
        raise UserError(
            f"{dataset.dataset_name} has the one class {data.class_names[0]!r}; a classifier needs "
            "images of at least two."
        )
    if len(data.class_names) != dataset.num_classes:
        raise UserError(
            f"dataset.num_classes is {dataset.num_classes}, but {dataset.dataset_name} has "
            f"{len(data.class_names)} classes; set it to that."
        )


def name_absent_classes(data: LabelledData) -> None:
    """Warns of classes without an image in the training or in the evaluation set."""
    for part, examples in (("training", data.train), ("evaluation", data.test)):
        images = images_per_class(examples.labels, len(data.class_names))
        absent = [name for name, count in zip(data.class_names, images, strict=True) if not count]
        if len(examples) and absent:
            _log.warning(
                "%d of %d classes have no image in the %s set: %s%s.",
                len(absent),
                len(data.class_names),
                part,
                ", ".join(map(repr, absent[:_CLASSES_NAMED])),
                ", …" if len(absent) > _CLASSES_NAMED else "",
            )


def check_multi_label(dataset: Any) -> None:
    """Raises a UserError for fields that images with several classes give no meaning.

    Args:
      dataset: the block of the config.
    """
    if not dataset.multi_label:
        return
    for field, unset in (("label_noise", 0), ("train_labels", ""), ("class_weights", None)):
        if dataset[field] != unset:
            raise _only_for_single_labels(field, dataset[field], unset)
    if dataset.sampling == "balanced":
        raise _only_for_single_labels("sampling", "balanced", "shuffled")


def check_kind_of_labels(data: LabelledData, dataset: Any) -> None:
    """Raises a UserError unless images have one or several classes, as the config says."""
    for examples in (data.train, data.test):
        has_rows = examples.labels.ndim == 2
        if len(examples) and has_rows != dataset.multi_label:
            kind, other = ("a row of yes and no", "True") if has_rows else ("one class", "False")
            more = " and loss=binary_cross_entropy" if has_rows else ""
            raise UserError(
                f"dataset.multi_label is {dataset.multi_label}, but {dataset.dataset_name} has "
                f"{kind} for each image; set it to {other}{more}."
            )


def _only_for_single_labels(field, value, unset):
    return UserError(
        f"dataset.{field} is {value!r}, but with dataset.multi_label an image may have several "
        f"classes or none; set it to {unset!r}."
    )


def check_shape(data: LabelledData, config: Any) -> None:
    """Raises a UserError unless the images have the size and the channels of the config."""
    dataset = config.dataset
    name, shape = dataset.dataset_name, (*[dataset.image_size] * 2, dataset.num_channels)
    if data.in_memory and data.train.images.shape[1:] != shape:
        height, width, channels = data.train.images.shape[1:]
        raise UserError(
            f"The images of {name} are {height}x{width}x{channels}; set dataset.image_size to "
            f"{height} and dataset.num_channels to {channels}."
        )
    if len(data.mean) != dataset.num_channels:
        raise UserError(
            f"dataset.num_channels is {dataset.num_channels}, but the images of {name} have "
            f"{len(data.mean)}; set it to that."
        )
