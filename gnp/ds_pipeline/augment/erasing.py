"""Random erasing: sets a random box of an image to zero (arXiv 1708.04896)."""

import numpy as np

from gnp.ds_pipeline.augment import boxes

NUM_UNIFORMS = 5  # per image: whether, area, aspect, row, column

_AREA = (0.02, 1 / 3)  # of the image
_ASPECT = (0.3, 1 / 0.3)


def sample(uniforms: np.ndarray, probability: float, size: tuple[int, int]) -> np.ndarray:
    """Boxes from uniform numbers.

    Args:
      uniforms: float32, batch x 5, uniform in [0, 1).
      probability: share of the images that lose a box.
      size: height and width of the images.

    Returns:
      int32, batch x 4: top, bottom, left, right; an empty box where nothing is erased.
    """
    whether, area, aspect, row, column = np.asarray(uniforms, np.float64).T
    area = (_AREA[0] + area * (_AREA[1] - _AREA[0])) * size[0] * size[1]
    log_low, log_high = np.log(_ASPECT)
    root = np.exp((log_low + aspect * (log_high - log_low)) / 2)
    heights = np.minimum(np.round(np.sqrt(area) * root), size[0])
    widths = np.minimum(np.round(np.sqrt(area) / root), size[1])
    top = np.floor(row * (size[0] - heights + 1))
    left = np.floor(column * (size[1] - widths + 1))
    erased = np.stack([top, top + heights, left, left + widths], 1).astype(np.int32)
    return np.where((whether < probability)[:, None], erased, 0).astype(np.int32)


def apply(xp, images, erased):
    """Sets the boxes of normalized images to zero, which is their mean."""
    return images * (1 - boxes.inside(xp, erased, images.shape))
