"""Boxes in images, one per image of a batch."""

import numpy as np


def inside(xp, boxes, shape):
    """The pixels inside each image's box, as a factor.

    Args:
      xp: the library of `boxes`: numpy, jax.numpy or tensorflow.
      boxes: int32, batch x 4: top, bottom, left, right; bottom and right are exclusive.
      shape: batch x height x width x channels.

    Returns:
      float32, batch x height x width x 1: 1 inside, 0 outside.
    """
    top, bottom, left, right = (boxes[:, i][:, None] for i in range(4))
    rows = _between(xp, top, bottom, shape[1])
    columns = _between(xp, left, right, shape[2])
    return (rows[:, :, None] * columns[:, None, :])[..., None]


def _between(xp, start, stop, length):
    places = np.arange(length, dtype=np.int32)[None]
    return xp.where((places >= start) & (places < stop), np.float32(1), np.float32(0))
