"""Decoding image files of any format, valid or damaged."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from gnp.errors import UserError

# A small file may claim any size. Larger claims are refused before decoding.
MAX_PIXELS = 100_000_000
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow's own limit

_REMEDY = "fix or remove it"


class BadImage(Exception):
    """An image file cannot be used; the message says why."""


def decode(encoded: bytes, channels: int) -> np.ndarray:
    """Decodes any format that Pillow supports, found by content, not by file name.

    Palette, CMYK and grayscale images are converted to `channels`, 16 bits are scaled to 8, and
    transparency is dropped. Animations yield their first frame.

    Args:
      encoded: the file's content.
      channels: 1 for grayscale, 3 for RGB.

    Returns:
      uint8, height x width x channels.

    Raises:
      BadImage: the content is empty, truncated, too large, or not an image.
    """
    if not encoded:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return _pixels(image, channels)
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        raise BadImage(_reason(error)) from error


def read(path: str, channels: int) -> np.ndarray:
    """Reads and decodes a file; see `decode`.

    Raises:
      UserError: the file cannot be used; the message names it and says why.
    """
    try:
        return decode(Path(path).read_bytes(), channels)
    except BadImage as error:
        raise UserError(f"{path} cannot be used: {error}; {_REMEDY}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; {_REMEDY}.") from error


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of an image, resized to size x size (bicubic, antialiased).

    An image of that size is returned unchanged.
    """
    height, width, channels = pixels.shape
    if (height, width) == (size, size):
        return pixels
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    box = (left, top, left + side, top + side)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    resized = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized).reshape(size, size, channels)


def _pixels(image, channels):
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"it claims {width}x{height} pixels, above the limit of {MAX_PIXELS}")
    if image.mode == "F":
        raise BadImage("it holds floating-point numbers of unknown range, not 8 or 16 bits")
    image.load()
    if image.mode.startswith("I;16") or image.mode == "I":
        image = _to_8_bits(image)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    return np.array(image, np.uint8).reshape(height, width, channels)


def _to_8_bits(image):
    """Scales 16-bit grayscale to 8 bits; Pillow itself would clip at 255."""
    pixels = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.clip(pixels / 257, 0, 255).round().astype(np.uint8))


def _reason(error):
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not an image"
    lines = str(error).splitlines() or [type(error).__name__]
    return f"it cannot be decoded ({lines[0]})"
