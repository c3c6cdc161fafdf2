"""Mixup, CutMix and cutout: sampling the numbers of a step, and applying them.

All images of a batch share these numbers, which are repeated for each image so that they can be
split over devices with the images. `apply` uses only operators and `where`: with xp = numpy,
jax.numpy or tensorflow it works on the arrays of that library.
"""

import numpy as np

from gnp.ds_pipeline.augment import boxes
from gnp.ds_pipeline.augment.levels import BatchLevel

SAMPLED = ("lam", "patch", "hole", "batch_uniforms")


def sample(
    level: BatchLevel,
    rng: np.random.Generator,
    count: int,
    image_shape: tuple[int, int, int],
    *,
    mixup_alpha: float,
    cutout_length: int,
) -> dict[str, np.ndarray]:
    """Samples the numbers that `apply` takes, for `count` images of one batch.

    Returns:
      With mixing: `lam`, float32, count: the weight of an image's own label and, for mixup, of
      its own pixels. For CutMix: `patch`, int32, count x 4: the box (top, bottom, left, right)
      with the partner's pixels. For cutout: `hole`, the same kind of box.
    """
    height, width = image_shape[:2]
    sampled = {}
    if level.mix:
        lam = rng.beta(mixup_alpha, mixup_alpha)
        if level.mix == "mixup":
            lam = max(lam, 1 - lam)
        else:
            ratio = np.sqrt(1 - lam)
            sampled["patch"] = _box(rng, (height, width), (height * ratio, width * ratio))
            top, bottom, left, right = sampled["patch"]
            lam = 1 - (bottom - top) * (right - left) / (height * width)
        sampled["lam"] = np.float32(lam)
    if level.cutout:
        sampled["hole"] = _box(rng, (height, width), (cutout_length, cutout_length))
    if level.own is not None:
        sampled["batch_uniforms"] = rng.random(level.own.num_uniforms, np.float32)
    return {name: np.broadcast_to(v, (count, *np.shape(v))).copy() for name, v in sampled.items()}


def apply(xp, images, labels, partner_images, partner_labels, sampled, own=None):
    """Augments normalized images and one-hot labels.

    Args:
      xp: the library of the arrays.
      images, labels: float32, batch x height x width x channels and batch x classes.
      partner_images, partner_labels: the same for the images to mix with; unused without mixing.
      sampled: the result of `sample`.
      own: the registered augmentation of the level; None: there is none.

    Returns:
      (images, labels)
    """
    if "lam" in sampled:
        lam = sampled["lam"][:, None]
        labels = labels * lam + partner_labels * (1 - lam)
        if "patch" in sampled:
            patch = boxes.inside(xp, sampled["patch"], images.shape)
            images = images * (1 - patch) + partner_images * patch
        else:
            lam = lam[:, :, None, None]
            images = images * lam + partner_images * (1 - lam)
    if "hole" in sampled:
        images = images * (1 - boxes.inside(xp, sampled["hole"], images.shape))
    if own is not None:
        partners = partner_images, partner_labels
        images, labels = own(xp, images, labels, *partners, sampled["batch_uniforms"])
    return images, labels


def _box(rng, image_sides, sides):
    """A box with a uniform random centre, clipped to the image."""
    box = []
    for image_side, side in zip(image_sides, np.round(sides).astype(int), strict=True):
        start = rng.integers(image_side) - side // 2
        box += [start, start + side]
    return np.clip(box, 0, np.repeat(image_sides, 2)).astype(np.int32)
