"""The augmentations by name. Loads neither tensorflow nor jax."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ImageLevel:
    """What is done to each training image on its own, in this order.

    Attributes:
      operations: "autoaugment", "randaugment", "trivialaugment" or "" for none. On photos these
        come after the crop.
      crop: a random crop: of the padded image, on photos of any size and shape.
      flip: a random flip.
    """

    operations: str = ""
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
