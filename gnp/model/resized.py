"""Parameters whose shape depends on the size of images or patches, for another size.

All are resized as images are: bicubic, and filtered where they become smaller (antialiased).
"""

import math

import jax
import numpy as np


def resized(path: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A parameter of a transformer in another shape.

    Position embeddings are resized as an image of tokens; a class token's own is kept, as by timm's
    `resample_abs_pos_embed`. Tables of relative position biases are resized as an image of offsets,
    so that a bias stays with its share of the window, as by Swin's authors. Kernels of patches are
    changed such that a resized patch gives the same token, as far as it can (FlexiViT, arXiv
    2212.08013), as by timm's `resample_patch_embed`.

    Args:
      path: of the parameter, such as `params/pos_embed`.
      array: its value.
      shape: the wanted one.

    Returns:
      float32 of that shape; None if the parameter is of no such kind, or the shapes differ in more
      than sides. Tokens and offsets must be those of squares.
    """
    for end, resize in _KINDS.items():
        if path.endswith(end) and len(array.shape) == len(shape):
            return resize(np.asarray(array, np.float32), tuple(shape))
    return None


def _positions(array, shape):
    """1 x tokens x width; the first token may be that of the class."""
    for extra in (0, 1):
        sides = [_side(tokens - extra) for tokens in (array.shape[1], shape[1])]
        if all(sides) and array.shape[::2] == shape[::2]:
            grid = _as_square(array[0, extra:], *sides)
            return np.concatenate([array[:, :extra], grid[None]], axis=1)
    return None


def _bias_table(array, shape):
    """Offsets x heads."""
    sides = [_side(offsets) for offsets in (array.shape[0], shape[0])]
    return _as_square(array, *sides) if all(sides) and array.shape[1] == shape[1] else None


def _patch_kernel(array, shape):
    """Height x width x inputs x outputs."""
    if array.shape[2:] != shape[2:]:
        return None
    old, new = array.shape[:2], shape[:2]
    pixels = math.prod(old)
    basis = np.eye(pixels, dtype=np.float32).reshape(*old, pixels)
    resize = _image(basis, new).reshape(-1, pixels)
    return (np.linalg.pinv(resize).T @ array.reshape(pixels, -1)).reshape(shape)


_KINDS = {
    "/pos_embed": _positions,
    "/relative_position_bias_table": _bias_table,
    "/patch_embed/kernel": _patch_kernel,
}


def _side(count):
    """The side of a square of so many; 0 if there is none."""
    side = math.isqrt(max(count, 0))
    return side if side**2 == count else 0


def _as_square(rows, old, new):
    """side² x channels for another side."""
    return _image(rows.reshape(old, old, -1), (new, new)).reshape(new**2, -1)


def _image(image, size):
    """height x width x channels in another size."""
    return np.asarray(jax.image.resize(image, (*size, image.shape[-1]), "bicubic"))
