"""Decoding image files of any format, valid or damaged."""

import functools
import io
import logging
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from gnp.errors import UserError

# A small file may claim any size. Larger claims are refused before decoding.
MAX_PIXELS = 100_000_000
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow's own limit
# What Pillow says about damaged files; the error for the file says enough.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

# The formats that are read. Pillow has more, some of which start a program, such as EPS. TGA is
# the last one, as it has no signature.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA")

# What undoes each EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_WHITE_IS_ZERO = 0  # of the TIFF tag PhotometricInterpretation
_PHOTOMETRIC = 262

_TWELVE_BITS, _SIXTEEN_BITS = 2**12 - 1, 2**16 - 1

_REMEDY = "fix or remove it"


class BadImage(Exception):
    """An image file cannot be used; the message says why."""


def decode(encoded: bytes, channels: int) -> np.ndarray:
    """Decodes any of `FORMATS`, found by content, not by file name.

    Images are turned upright by their EXIF orientation. Transparency is composited on white.
    Palette, CMYK and grayscale images are converted to `channels`. 16 bits are scaled to 8.
    Animations yield their first frame.

    Args:
      encoded: the file's content.
      channels: 1 for grayscale, 3 for RGB.

    Returns:
      uint8, height x width x channels.

    Raises:
      BadImage: the content is empty, truncated, too large, not an image, or of an unknown range.
    """
    if not encoded:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded), formats=_formats()) as image:
            return pixels_of(image, channels)
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        raise BadImage(_reason(error)) from error


def pixels_of(image: Image.Image, channels: int) -> np.ndarray:
    """The pixels of an image that Pillow has opened or made; see `decode`.

    Raises:
      BadImage: it is too large, or of an unknown range.
      Exception: of many types, where it cannot be decoded.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"it claims {width}x{height} pixels, above the limit of {MAX_PIXELS}")
    # A 16-bit PPM has mode "I", scaled to its own range.
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise BadImage(
            "its numbers have 32 bits or a sign, so that black and white are unknown; save it with "
            "8 or 16 bits"
        )
    layout = str(getattr(image, "tile", ""))  # which only those from a file have
    image.load()
    turn = _TURNS.get(_orientation(image))
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _to_8_bits(image, _TWELVE_BITS if "I;12" in layout else _SIXTEEN_BITS)
    elif ";16" in layout and image.format in ("PNG", "TIFF"):  # Pillow keeps the upper 8 bits
        _check_range(image.convert("RGB"), 255)
    if image.has_transparency_data:
        image = _on_white(image)
    image = image.convert("L" if channels == 1 else "RGB")
    pixels = np.array(image if turn is None else image.transpose(turn), np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)


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


def square(pixels: np.ndarray, size: int, resize: str = "crop") -> np.ndarray:
    """An image of size x size pixels (bicubic, antialiased).

    An image of that size is returned unchanged.

    Args:
      pixels: uint8, height x width x channels.
      size: side of the result.
      resize: "crop": of the largest centred square; "squash": of the whole image, whatever its
        shape; "pad": of the whole image between two black bars.
    """
    height, width, channels = pixels.shape
    if (height, width) == (size, size):
        return pixels
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    tall, wide = size, size
    box = None
    if resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        box = (left, top, left + side, top + side)
    elif resize == "pad":
        longest = max(height, width)
        tall, wide = (max(round(side / longest * size), 1) for side in (height, width))
    resized = np.asarray(image.resize((wide, tall), Image.Resampling.BICUBIC, box=box))
    result = np.zeros((size, size, channels), np.uint8)
    top, left = (size - tall) // 2, (size - wide) // 2
    result[top : top + tall, left : left + wide] = resized.reshape(tall, wide, channels)
    return result


def share_cut(pixels: np.ndarray, size: int) -> float:
    """The share of an image that lies beyond its centred square, which `square` cuts off."""
    height, width = pixels.shape[:2]
    return 0.0 if (height, width) == (size, size) else 1 - min(height, width) / max(height, width)


@functools.cache
def endings() -> tuple[str, ...]:
    """How the names of image files end, in lower case, such as ".jpg"."""
    of_formats = Image.registered_extensions().items()
    return tuple(sorted(ending for ending, name in of_formats if name in FORMATS))


def is_image(path: str) -> bool:
    """Whether the beginning of a file is that of an image with a signature, whatever its name."""
    try:
        with Image.open(path, formats=[name for name in _formats() if name != "TGA"]):
            return True
    except Exception:  # of many types, see `decode`
        return False


def is_gray(file: str | os.PathLike | BinaryIO) -> bool:
    """Whether an image has one channel, by its beginning; False for one that cannot be used."""
    try:
        with Image.open(file, formats=_formats()) as image:
            return has_gray_mode(image)
    except Exception:  # decoding it will raise and say why
        return False


def has_gray_mode(image: Image.Image) -> bool:
    """Whether an image of Pillow has one channel, besides that of its opacity."""
    return image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")


def is_turned(encoded: bytes) -> bool:
    """Whether an image, of which `encoded` may be the beginning, has another EXIF orientation."""
    try:
        with Image.open(io.BytesIO(encoded), formats=_formats()) as image:
            return _orientation(image) in _TURNS
    except Exception:  # decoding it will raise and say why
        return False


@functools.cache
def _formats():
    """Those of `FORMATS` that this Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _to_8_bits(image, white):
    """Scales 16-bit grayscale to 8 bits; Pillow itself would clip at 255."""
    _check_range(image, white)
    pixels = np.asarray(image).astype(np.float64)
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = white - pixels
    if "transparency" in image.info:
        pixels[pixels == image.info["transparency"]] = white
    return Image.fromarray(np.clip(pixels / (white / 255), 0, 255).round().astype(np.uint8))


def _check_range(image, white):
    """Refuses such images as 12 bits in 16: of their levels, few would remain."""
    levels = np.asarray(image)
    low, high = int(levels.min()), int(levels.max())
    if low < high < (white + 1) // 16:
        raise BadImage(
            f"its brightest level is {high} of {white}, so that few levels would remain; scale it "
            "to its full range or save it with 8 bits"
        )


def _orientation(image):
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises many types on damaged EXIF data, which no pixel depends on
        return None


def _on_white(image):
    """Composites an image on white. Where nothing at all is opaque, transparency means nothing."""
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white


def _reason(error):
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is not an image of a known format ({', '.join(_formats())})"
    lines = str(error).splitlines() or [type(error).__name__]
    return f"it cannot be decoded ({lines[0]})"
