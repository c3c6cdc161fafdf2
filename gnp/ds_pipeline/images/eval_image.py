"""One image as evaluation presents it to the model, made without tensorflow."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.settings import PHOTO_SETS

# Evaluation crops size / (size + margin) of a photo's short side.
EVAL_MARGIN = 32

# Of the bicubic kernel that the first version of tensorflow's operation has, and its resolution.
_SHARPNESS = -0.75
_STEPS = 1024


@dataclasses.dataclass(frozen=True)
class EvalImage:
    """What evaluation makes of an image.

    Attributes:
      size: height and width of the model's input.
      channels: 1 or 3.
      resize: how images become squares, see `gnp.ds_pipeline.images.decode.square`.
      photos: whether the centre of the image is cropped in the place of that.
      antialias: whether photos are filtered when they are made smaller.
      mean, std: normalization constants per channel, on the scale 0 to 1.
    """

    size: int
    channels: int
    resize: str
    photos: bool
    antialias: bool
    mean: Sequence[float]
    std: Sequence[float]

    @classmethod
    def from_config(cls, dataset, mean: Sequence[float], std: Sequence[float]) -> "EvalImage":
        """What the evaluation of a run does.

        Args:
          dataset: this block of its config.
          mean, std: of its data.
        """
        return cls(
            size=dataset.image_size,
            channels=dataset.num_channels,
            resize=dataset.resize,
            photos=dataset.dataset_name in PHOTO_SETS,
            antialias=dataset.antialias,
            mean=mean,
            std=std,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the result."""
        return self.size, self.size, self.channels

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """The model's input: float32, size x size x channels, normalized.

        Args:
          pixels: uint8, height x width x channels, from `decode.decode`.
        """
        if self.photos:
            square = resized_photo(centre(pixels, self.size), self.size, self.antialias)
        else:
            square = decode.square(pixels, self.size, self.resize)
        std = np.asarray(self.std, np.float32)
        return square * (1 / (255 * std)) - np.asarray(self.mean, np.float32) / std


def centre(photo: np.ndarray, size: int) -> np.ndarray:
    """The centred square of size / (size + 32) of a photo's short side."""
    height, width = photo.shape[:2]
    short = np.float32(min(height, width))
    side = max(int(short * np.float32(size / (size + EVAL_MARGIN))), 1)
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    return photo[top : top + side, left : left + side]


def resized_photo(photo: np.ndarray, size: int, antialias: bool) -> np.ndarray:
    """A photo resized to size x size pixels (bicubic), as `tf_file_source.resized` does.

    Args:
      photo: uint8, height x width x channels.
      size: side of the result.
      antialias: filter a photo that is made smaller; False: take the four nearest pixels in each
        direction.

    Returns:
      float32, size x size x channels, on the scale 0 to 255.
    """
    if not antialias:
        rows, columns = (_four_nearest(length, size) for length in photo.shape[:2])
        return np.einsum("yh,hwc,xw->yxc", rows, photo.astype(np.float32), columns, optimize=True)
    # Pillow rounds bytes, so each channel is resized as floats.
    channels = [
        Image.fromarray(channel).resize((size, size), Image.Resampling.BICUBIC)
        for channel in np.moveaxis(photo.astype(np.float32), -1, 0)
    ]
    return np.clip(np.stack(channels, axis=-1), 0, 255)


def _four_nearest(length, size):
    """The weights, size x length, of the pixels along an axis in those of the result."""
    place = np.arange(size, dtype=np.float32) * np.float32(length / size)
    first = np.floor(place).astype(int)
    offset = np.rint((place - first) * _STEPS) / _STEPS
    weights = np.zeros((size, length), np.float32)
    for tap in (-1, 0, 1, 2):
        pixel = np.clip(first + tap, 0, length - 1)
        np.add.at(weights, (np.arange(size), pixel), _bicubic(np.abs(tap - offset)))
    return weights


def _bicubic(x):
    a = _SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * a * x - 4 * a
    return np.where(x <= 1, near, far)
