"""Mixup, CutMix and cutout: what is drawn for a step, and how it is applied.

What is drawn is the same for all images of a batch; it is repeated for each of them, so that it
can be split over devices along with the images. The functions that apply it use operators and
`where` alone: with xp = numpy, jax.numpy or tensorflow they run on the arrays of that library.
"""

import numpy as np

from gnp.ds_pipeline.augment import boxes
from gnp.ds_pipeline.augment.levels import BatchLevel

DRAWN = ("lam", "patch", "hole")


def draw(
    level: BatchLevel,
    rng: np.random.Generator,
    count: int,
    image_shape: tuple[int, int, int],
    *,
    mixup_alpha: float,
    cutout_length: int,
) -> dict[str, np.ndarray]:
    """Draws what `apply` needs, for `count` images of one batch.

    Returns:
      With mixing: `lam`, float32, count: the weight of an image's own label, and for mixup of its
      own pixels. For CutMix: `patch`, int32, count x 4: the box (top, bottom, left, right) that
      comes from the partner. For cutout: `hole`, a box likewise.
    """
    height, width = image_shape[:2]
    drawn = {}
    if level.mix:
        lam = rng.beta(mixup_alpha, mixup_alpha)
        if level.mix == "mixup":
            lam = max(lam, 1 - lam)
        else:
            ratio = np.sqrt(1 - lam)
            drawn["patch"] = _box(rng, (height, width), (height * ratio, width * ratio))
            top, bottom, left, right = drawn["patch"]
            lam = 1 - (bottom - top) * (right - left) / (height * width)
        drawn["lam"] = np.float32(lam)
    if level.cutout:
        drawn["hole"] = _box(rng, (height, width), (cutout_length, cutout_length))
    return {name: np.broadcast_to(v, (count, *np.shape(v))).copy() for name, v in drawn.items()}


def apply(xp, images, labels, partner_images, partner_labels, drawn):
    """Applies what was drawn to normalized images and one-hot labels.

    Args:
      xp: the library of the arrays.
      images, labels: float32, batch x height x width x channels and batch x classes.
      partner_images, partner_labels: the same for the images to mix with; unused without mixing.
      drawn: what `draw` returned.

    Returns:
      (images, labels)
    """
    if "lam" in drawn:
        lam = drawn["lam"][:, None]
        labels = labels * lam + partner_labels * (1 - lam)
        if "patch" in drawn:
            patch = boxes.inside(xp, drawn["patch"], images.shape)
            images = images * (1 - patch) + partner_images * patch
        else:
            lam = lam[:, :, None, None]
            images = images * lam + partner_images * (1 - lam)
    if "hole" in drawn:
        images = images * (1 - boxes.inside(xp, drawn["hole"], images.shape))
    return images, labels


def _box(rng, image_sides, sides):
    """A box with a uniformly drawn centre, cut off at the image's border."""
    box = []
    for image_side, side in zip(image_sides, np.round(sides).astype(int), strict=True):
        start = rng.integers(image_side) - side // 2
        box += [start, start + side]
    return np.clip(box, 0, np.repeat(image_sides, 2)).astype(np.int32)
