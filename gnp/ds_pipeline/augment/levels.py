"""The augmentations by name. Imports neither tensorflow nor jax."""

import dataclasses
from collections.abc import Callable

from gnp.ds_pipeline.augment.own import OwnAugmentation
from gnp.errors import UserError, unknown_name
from gnp.registering import registering


@dataclasses.dataclass(frozen=True)
class ImageLevel:
    """The augmentation of single training images, in this order.

    Attributes:
      operations: "autoaugment", "randaugment", "trivialaugment" or "" for none. On photos they
        follow the crop.
      crop: a random crop of the padded image, or of random size and shape on photos.
      flip: a random flip, left to right.
      own: a registered one, after normalization; None: none.
    """

    operations: str = ""
    crop: bool = False
    flip: bool = False
    own: OwnAugmentation | None = None


@dataclasses.dataclass(frozen=True)
class BatchLevel:
    """The augmentation of a whole training batch, after normalization.

    Attributes:
      mix: "mixup" or "cutmix": image i of n is mixed with image n - 1 - i; "": no mixing.
      cutout: a square is set to zero, at the same place in all images.
      own: a registered one, after these; None: none.
    """

    mix: str = ""
    cutout: bool = False
    own: OwnAugmentation | None = None

    @property
    def has_partners(self) -> bool:
        """Whether an image gets a second one to be mixed with."""
        return bool(self.mix) or self.own is not None


IMAGE_LEVEL = {
    "none": ImageLevel(),
    "crop": ImageLevel(crop=True),
    "basic": ImageLevel(crop=True, flip=True),
    "autoaugment": ImageLevel("autoaugment", crop=True, flip=True),
    "aa-only": ImageLevel("autoaugment"),
    "randaugment": ImageLevel("randaugment", crop=True, flip=True),
    "trivialaugment": ImageLevel("trivialaugment", crop=True, flip=True),
}

BATCH_LEVEL = {
    "none": BatchLevel(),
    "mixup": BatchLevel(mix="mixup"),
    "cutmix": BatchLevel(mix="cutmix"),
    "cutout": BatchLevel(cutout=True),
    "mixcut": BatchLevel(mix="mixup", cutout=True),
}


def register_augmentation(
    name: str,
    level: str = "image",
    *,
    num_uniforms: int = 0,
    crop: bool = False,
    flip: bool = False,
) -> Callable[[Callable], Callable]:
    """Registers an augmentation, as a value of `dataset.<level>_level_augmentations`.

    >>> @gnp.register_augmentation("dim", num_uniforms=1, crop=True, flip=True)
    ... def dim(xp, images, uniforms):
    ...     return images * (1 - 0.5 * uniforms[:, :1, None, None])
    ...
    >>> @gnp.register_augmentation("blend", level="batch", num_uniforms=1)
    ... def blend(xp, images, labels, partner_images, partner_labels, uniforms):
    ...     part = 0.5 * uniforms[:, :1]
    ...     labels = labels + part * (partner_labels - labels)
    ...     return images + part[:, :, None, None] * (partner_images - images), labels
    ...
    >>> "dim" in IMAGE_LEVEL, "blend" in BATCH_LEVEL
    (True, True)

    The function is called with `xp`, the library that the images are of: `jax.numpy` with
    `dataset.loader=device`, else `tensorflow`, or `numpy` for small sets without operations. Images
    are float32, batch x height x width x channels, normalized, labels float32, batch x classes. It
    returns arrays of the same shapes. All its chance must come from `uniforms` (float32, batch x
    `num_uniforms`, in [0, 1)), so that a run that is resumed, or has more devices, sees the same
    images. An image has numbers of its own; at the level of batches, all images share them, and
    image i of n has the partner n - 1 - i.

    Args:
      name: of the augmentation.
      level: "image" or "batch".
      num_uniforms: random numbers that it takes.
      crop, flip: whether an image-level augmentation follows a random crop and a random flip.

    Raises:
      UserError: the name is registered already, or another argument is none of these.
    """
    if level not in ("image", "batch"):
        raise unknown_name("level of an augmentation", level, ("image", "batch"))
    if type(num_uniforms) is not int or num_uniforms < 0:
        raise UserError(
            f"num_uniforms of the augmentation {name} is {num_uniforms!r}; give a whole number."
        )
    if level == "batch" and (crop or flip):
        raise UserError(
            f"The augmentation {name} is one of batches, which come after crop and flip; leave "
            "them out, and set dataset.image_level_augmentations."
        )

    is_of_batches = level == "batch"

    def as_entry(function):
        own = OwnAugmentation(name, function, num_uniforms, num_kept=2 if is_of_batches else 1)
        return BatchLevel(own=own) if is_of_batches else ImageLevel(crop=crop, flip=flip, own=own)

    table = BATCH_LEVEL if is_of_batches else IMAGE_LEVEL
    return registering(table, "augmentation", name, as_entry)
