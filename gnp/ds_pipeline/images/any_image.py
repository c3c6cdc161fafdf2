"""An image in whatever form a source has it: a path, a file's content, of Pillow, or an array."""

import io
import os
from typing import Any

import numpy as np
from PIL import Image

from gnp.ds_pipeline.images import decode

KNOWN = "a path, a file's bytes, an image of Pillow, or uint8 of height x width [x channels]"


def pixels(image: Any, channels: int) -> np.ndarray:
    """The pixels of an image; see `gnp.ds_pipeline.images.decode.decode`.

    Args:
      image: one of `KNOWN`.
      channels: 1 for grayscale, 3 for RGB.

    Returns:
      uint8, height x width x channels.

    Raises:
      BadImage: it cannot be used; says why.
      UserError: it is the path of a file that cannot be used.
    """
    if isinstance(image, str | os.PathLike):
        return decode.read(os.fspath(image), channels)
    if isinstance(image, bytes):
        return decode.decode(image, channels)
    if isinstance(image, Image.Image):
        return decode.pixels_of(image, channels)
    array = _as_array(image)
    if array.shape[2] == channels:
        return array
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    return decode.pixels_of(image, channels)


def is_gray(image: Any) -> bool:
    """Whether an image has one channel, by its beginning; False for one that cannot be used."""
    if isinstance(image, Image.Image):
        return decode.has_gray_mode(image)
    if isinstance(image, bytes):
        return decode.is_gray(io.BytesIO(image))
    if isinstance(image, str | os.PathLike):
        return decode.is_gray(image)
    try:
        return _as_array(image).shape[2] == 1
    except decode.BadImage:  # reading it will say why
        return False


def _as_array(image):
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise decode.BadImage(f"it is {array.dtype} of shape {array.shape}, not {KNOWN}")
    array = array.reshape(*array.shape[:2], -1)
    if array.shape[2] not in (1, 3, 4):
        raise decode.BadImage(f"it has {array.shape[2]} channels, not 1 (gray), 3 (RGB) or 4")
    return array
