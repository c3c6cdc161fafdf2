"""The augmentations by name, and the numbers they draw. Loads neither tensorflow nor jax."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ImageLevel:
    """What is done to each training image on its own."""

    crop: bool = False
    flip: bool = False


@dataclasses.dataclass(frozen=True)
class BatchLevel:
    """What is done to a training batch as a whole, after normalization.

    Attributes:
      mix: "mixup" or "cutmix": each image is mixed with one of the reversed batch; "": no mixing.
      cutout: one square of the batch is set to zero.
    """

    mix: str = ""
    cutout: bool = False


IMAGE_LEVEL = {
    "none": ImageLevel(),
    "crop": ImageLevel(crop=True),
    "basic": ImageLevel(crop=True, flip=True),
}

BATCH_LEVEL = {
    "none": BatchLevel(),
    "mixup": BatchLevel(mix="mixup"),
    "cutmix": BatchLevel(mix="cutmix"),
    "cutout": BatchLevel(cutout=True),
    "mixcut": BatchLevel(mix="mixup", cutout=True),
}
