"""From the bytes of an image file to pixels, whatever the file turns out to hold."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from gnp.errors import UserError

# A file may claim any size in a few bytes; above this it is refused before it is decoded.
MAX_PIXELS = 100_000_000
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow's hint at the same

_REMEDY = "fix or remove it"


class BadImage(Exception):
    """A file is no image that can be used; the message says why."""


def decode(encoded: bytes, channels: int) -> np.ndarray:
    """Decodes JPEG, PNG, WebP, GIF, BMP and whatever else Pillow knows, by content, not by name.

    Palettes, CMYK and gray are converted, 16 bits scaled to 8, transparency is dropped, and of an
    animation the first frame is taken.

    Args:
      encoded: the file's content.
      channels: 1 for gray, 3 for colour.

    Returns:
      uint8, height x width x channels.

    Raises:
      BadImage: empty, truncated, too large, or no image at all.
    """
    if not encoded:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return _pixels(image, channels)
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on broken files
        raise BadImage(_reason(error)) from error


def read(path: str, channels: int) -> np.ndarray:
    """Reads and decodes a file; see `decode`.

    Raises:
      UserError: the file cannot be used; names it and says why.
    """
    try:
        return decode(Path(path).read_bytes(), channels)
    except BadImage as error:
        raise UserError(f"{path} cannot be used: {error}; {_REMEDY}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; {_REMEDY}.") from error


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of an image, resized to size x size (bicubic, antialiased).

    An image that has that size already is returned as it is.
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
        raise BadImage(f"it claims {width}x{height} pixels, more than {MAX_PIXELS} are refused")
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
    """Gray images of 16 bits; Pillow itself would clip them at 255."""
    pixels = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.clip(pixels / 257, 0, 255).round().astype(np.uint8))


def _reason(error):
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no image"
    lines = str(error).splitlines() or [type(error).__name__]
    return f"it cannot be decoded ({lines[0]})"
