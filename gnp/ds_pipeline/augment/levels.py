"""The augmentations by name. Imports neither tensorflow nor jax."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ImageLevel:
    """The augmentation of single training images, in this order.

    Attributes:
      operations: "autoaugment", "randaugment", "trivialaugment" or "" for none. On photos they
        follow the crop.
      crop: a random crop of the padded image, or of random size and shape on photos.
      flip: a random flip, left to right.
    """

    operations: str = ""
    crop: bool = False
    flip: bool = False


@dataclasses.dataclass(frozen=True)
class BatchLevel:
    """The augmentation of a whole training batch, after normalization.

    Attributes:
      mix: "mixup" or "cutmix": image i of n is mixed with image n - 1 - i; "": no mixing.
      cutout: a square is set to zero, at the same place in all images.
    """

    mix: str = ""
    cutout: bool = False


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
