"""Random crop after reflective padding, and random flip, as one look-up of pixels."""

import numpy as np

DRAWS = 3  # numbers per image: top, left, flip


def pixel_indices(xp, draws, size: tuple[int, int], padding: int, flip: bool):
    """Which source row and column each pixel of the result comes from.

    An image is padded by reflection, a window of its own size is cut out at a random place, and
    with `flip` the result is mirrored left to right with probability one half.

    Args:
      xp: numpy, jax.numpy or tensorflow: the library of `draws`.
      draws: float32, batch x (at least 3), uniform in [0, 1).
      size: height and width of the images.
      padding: pixels on each side; 0 means no crop.
      flip: whether images are flipped.

    Returns:
      (rows, columns): int32, batch x height and batch x width.
    """
    height, width = size
    rows = _window(xp, draws[:, 0], height, padding)
    columns = _window(xp, draws[:, 1], width, padding)
    if flip:
        columns = xp.where(flips(draws)[:, None], columns[:, ::-1], columns)
    return rows, columns


def flips(draws):
    """Which images are mirrored; bool, batch."""
    return draws[:, 2] < 0.5


def _window(xp, draw, length, padding):
    """Indices of a window of `length` in a line of that length, padded by reflection."""
    offsets = draw * np.float32(2 * padding + 1)
    start = _to_int32(xp, offsets)[:, None] - padding
    index = abs(start + np.arange(length, dtype=np.int32)[None, :])
    return (length - 1) - abs((length - 1) - index)


def _to_int32(xp, values):
    return xp.cast(values, xp.int32) if hasattr(xp, "GradientTape") else values.astype(xp.int32)
