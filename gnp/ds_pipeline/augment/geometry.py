"""Random crop after reflective padding, and random flip, as indices of pixels."""

import numpy as np

NUM_UNIFORMS = 3  # per image: top, left, flip


def pixel_indices(xp, uniforms, size: tuple[int, int], padding: int, flip: bool):
    """The source row and column of each pixel of the result.

    An image is padded by reflection and a window of its own size is cropped at a random place.
    With `flip` the result is mirrored left to right with probability one half.

    Args:
      xp: numpy, jax.numpy or tensorflow: the library of `uniforms`.
      uniforms: float32, batch x (at least 3), uniform in [0, 1).
      size: height and width of the images.
      padding: pixels on each side; 0 means no crop.
      flip: whether images are flipped.

    Returns:
      (rows, columns): int32, batch x height and batch x width.
    """
    height, width = size
    rows = _window(xp, uniforms[:, 0], height, padding)
    columns = _window(xp, uniforms[:, 1], width, padding)
    if flip:
        columns = xp.where(flips(uniforms)[:, None], columns[:, ::-1], columns)
    return rows, columns


def flips(uniforms):
    """Whether each image is mirrored; bool, batch."""
    return uniforms[:, 2] < 0.5


def _window(xp, uniform, length, padding):
    """Indices of a window of `length` in a line of that length, padded by reflection."""
    offsets = uniform * np.float32(2 * padding + 1)
    start = _to_int32(xp, offsets)[:, None] - padding
    index = abs(start + np.arange(length, dtype=np.int32)[None, :])
    return (length - 1) - abs((length - 1) - index)


def _to_int32(xp, values):
    return xp.cast(values, xp.int32) if hasattr(xp, "GradientTape") else values.astype(xp.int32)
