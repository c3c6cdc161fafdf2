"""The settings of the data pipeline, read from the config and checked."""

import dataclasses
import logging
import math
from typing import Any

from gnp.ds_pipeline.augment import levels, policies
from gnp.ds_pipeline.augment.image_level import ImageAugmentation
from gnp.ds_pipeline.labels import class_balance
from gnp.errors import UserError, unknown_name

# Sets of photos of any size, which are cropped while they are decoded.
PHOTO_SETS = ("imagenet",)
# The AutoAugment policy of each set.
_POLICY_OF = {"svhn": "svhn", "imagenet": "imagenet"}
_DEFAULT_POLICY = "cifar"

RESIZE = ("crop", "squash", "pad")

# Below this share of the images it is not worth a word that a policy blanks them.
_FEW = 0.01

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that determines the batches of a process, except for the images."""

    batch_size: int
    seed: int
    process_index: int
    process_count: int
    image_shape: tuple[int, int, int]
    augmentation: ImageAugmentation
    batch_level: levels.BatchLevel
    mixup_alpha: float
    cutout_length: int
    parallel_calls: int  # of tf.data; 0: chosen by tf.data
    resize: str = "crop"  # how files of another shape become squares
    antialias: bool = True  # whether photos are filtered when they are made smaller
    sampling: str = "shuffled"  # or "balanced": each class as often as the others
    class_weights: Any = None  # see `gnp.ds_pipeline.labels.class_balance`


def from_config(config, process_index: int = 0, process_count: int = 1) -> Settings:
    """Reads and checks the pipeline's fields of config/base.py.

    Raises:
      UserError: a name is unknown or a number out of range.
    """
    dataset = config.dataset
    _at_least(0, "seeds", config.seeds)
    _at_least(0, "dataset.num_parallel_calls", dataset.num_parallel_calls)
    _at_least(1, "dataset.image_size", dataset.image_size)
    _check_resize(dataset)
    _check_balance(dataset)
    if dataset.num_channels not in (None, 1, 3):
        raise UserError(f"dataset.num_channels is {dataset.num_channels}; choose 1 or 3.")
    batch_level = _named(
        "batch-level augmentation", dataset.batch_level_augmentations, levels.BATCH_LEVEL
    )
    batch_level, mixup_alpha = _mixing(dataset, batch_level)
    if batch_level.cutout:
        _check_cutout(dataset)
    return Settings(
        batch_size=config.batch_size,
        seed=config.seeds,
        process_index=process_index,
        process_count=process_count,
        image_shape=(dataset.image_size, dataset.image_size, dataset.num_channels),
        augmentation=_augmentation(dataset),
        batch_level=batch_level,
        mixup_alpha=mixup_alpha,
        cutout_length=dataset.cutout_length,
        parallel_calls=dataset.num_parallel_calls,
        resize=dataset.resize,
        antialias=dataset.antialias,
        sampling=dataset.sampling,
        class_weights=dataset.class_weights,
    )


def _augmentation(dataset):
    level = _named(
        "image-level augmentation", dataset.image_level_augmentations, levels.IMAGE_LEVEL
    )
    if not 0 <= dataset.random_erasing <= 1:
        raise UserError(
            f"dataset.random_erasing is {dataset.random_erasing}; choose a probability, 0 to 1."
        )
    if dataset.random_erasing and dataset.image_size == 1:
        raise UserError("dataset.random_erasing would erase whole images of 1 pixel; set it to 0.")
    policy = _policy(dataset, level.operations)
    if policy is not None:
        _warn_of_blank_images(policy, dataset)
    return ImageAugmentation(
        level,
        (dataset.image_size, dataset.image_size),
        padding=_crop_padding(dataset) if level.crop else 0,
        policy=policy,
        erasing_probability=dataset.random_erasing,
        photos=dataset.dataset_name in PHOTO_SETS,
    )


def _policy(dataset, operations):
    if operations == "autoaugment":
        return policies.AutoAugment(_POLICY_OF.get(dataset.dataset_name, _DEFAULT_POLICY))
    if operations == "randaugment":
        _at_least(1, "dataset.randaug_num_layers", dataset.randaug_num_layers)
        if not 0 <= dataset.randaug_magnitude <= policies.MAX_LEVEL:
            raise UserError(
                f"dataset.randaug_magnitude is {dataset.randaug_magnitude}; choose 0 to "
                f"{policies.MAX_LEVEL}."
            )
        return policies.RandAugment(dataset.randaug_num_layers, dataset.randaug_magnitude)
    return policies.TrivialAugment() if operations == "trivialaugment" else None


def _warn_of_blank_images(policy, dataset):
    share = policies.share_blanked(policy, dataset.image_size)
    if share >= _FEW:
        _log.warning(
            "dataset.image_level_augmentations=%s leaves nothing of about %.0f %% of the training "
            "images: its strongest shifts are larger than their %d pixels, and they become plain "
            "gray. basic and crop shift by crop_padding alone.",
            dataset.image_level_augmentations,
            100 * share,
            dataset.image_size,
        )


def _mixing(dataset, batch_level):
    """The batch-level augmentation and its alpha; mixup on photos has a field of its own."""
    if dataset.dataset_name in PHOTO_SETS and dataset.imagenet_mixup_alpha > 0:
        return dataclasses.replace(batch_level, mix="mixup"), dataset.imagenet_mixup_alpha
    if not dataset.mixup_alpha > 0:
        raise UserError(f"dataset.mixup_alpha is {dataset.mixup_alpha}; choose a number above 0.")
    return batch_level, dataset.mixup_alpha


def _check_balance(dataset):
    if dataset.sampling not in class_balance.SAMPLING:
        raise unknown_name("dataset.sampling", dataset.sampling, class_balance.SAMPLING)
    class_balance.check_weights(dataset.class_weights)
    if dataset.sampling == dataset.class_weights == "balanced":
        raise UserError(
            "dataset.sampling and dataset.class_weights are both balanced, so that small classes "
            "would count twice; choose one of them."
        )


def _check_resize(dataset):
    if dataset.resize not in RESIZE:
        raise unknown_name("dataset.resize", dataset.resize, RESIZE)
    if dataset.resize != "crop" and dataset.dataset_name in PHOTO_SETS:
        raise UserError(
            f"dataset.resize is {dataset.resize}, but {dataset.dataset_name} crops its photos; use "
            "dataset_name=image_folder, or resize=crop."
        )


def _check_cutout(dataset):
    if not 0 < dataset.cutout_length < dataset.image_size:
        raise UserError(
            f"dataset.cutout_length is {dataset.cutout_length}; choose 1 to "
            f"{dataset.image_size - 1} for images of {dataset.image_size} pixels, or "
            "augmentations without cutout."
        )


def _crop_padding(dataset):
    """The padding of the config, or by default an eighth of the side: 4 for images of 28 and 32."""
    padding = dataset.crop_padding or math.ceil(dataset.image_size / 8)
    if not 0 < padding < dataset.image_size:
        raise UserError(
            f"dataset.crop_padding is {padding}; choose 1 to {dataset.image_size - 1} for images "
            f"of {dataset.image_size} pixels, or augmentations without crop."
        )
    return padding


def _named(kind, name, table):
    if name not in table:
        raise unknown_name(kind, name, table)
    return table[name]


def _at_least(lowest, field, value):
    if value < lowest:
        raise UserError(f"{field} is {value}; choose a number of at least {lowest}.")
