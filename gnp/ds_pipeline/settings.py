"""What the data pipeline takes from the config, checked."""

import dataclasses

from gnp.ds_pipeline.augment import names
from gnp.errors import UserError, unknown_name


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything but the images that decides which batches a process sees."""

    batch_size: int
    seed: int
    process_index: int
    process_count: int
    image_level: names.ImageLevel
    batch_level: names.BatchLevel
    crop_padding: int  # pixels on each side
    mixup_alpha: float
    cutout_length: int


def from_config(config, process_index: int, process_count: int) -> Settings:
    """Reads and checks the fields of config/base.py that concern the pipeline.

    Raises:
      UserError: a name is unknown or a number out of range.
    """
    dataset = config.dataset
    if config.seeds < 0:
        raise UserError(f"seeds is {config.seeds}; choose a number from 0 up.")
    return Settings(
        batch_size=config.batch_size,
        seed=config.seeds,
        process_index=process_index,
        process_count=process_count,
        image_level=_named(
            "image-level augmentation", dataset.image_level_augmentations, names.IMAGE_LEVEL
        ),
        batch_level=_named(
            "batch-level augmentation", dataset.batch_level_augmentations, names.BATCH_LEVEL
        ),
        crop_padding=_crop_padding(dataset),
        mixup_alpha=_positive("mixup_alpha", dataset),
        cutout_length=_positive("cutout_length", dataset),
    )


def _named(kind, name, table):
    if name not in table:
        raise unknown_name(kind, name, table)
    return table[name]


def _crop_padding(dataset):
    """4 pixels for images of 32, and in proportion for others, unless the config says which."""
    padding = dataset.crop_padding or max(1, dataset.image_size // 8)
    if not 0 < padding < dataset.image_size:
        raise UserError(
            f"dataset.crop_padding is {padding}; choose 1 to {dataset.image_size - 1} for images "
            f"of {dataset.image_size} pixels."
        )
    return padding


def _positive(field, dataset):
    if not dataset[field] > 0:
        raise UserError(f"dataset.{field} is {dataset[field]}; choose a number above 0.")
    return dataset[field]
