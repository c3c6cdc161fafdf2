"""Image files decoded once and held in memory."""

import dataclasses
from concurrent import futures

import numpy as np

from gnp.ds_pipeline import decode
from gnp.ds_pipeline.examples import Examples, LabelledData

# Files per task of a thread: handing over single files costs more than decoding small ones.
_CHUNK = 64

_SAMPLE = 5000


def read_into_memory(data: LabelledData, size: int, channels: int) -> LabelledData:
    """Decodes all files of a data set, each as its centred square of size x size pixels.

    Raises:
      UserError: a file cannot be used; names it and says why.
    """
    train, test = _read(data.train, size, channels), _read(data.test, size, channels)
    mean, std = (data.mean, data.std) if data.mean else statistics(train.images)
    return dataclasses.replace(data, train=train, test=test, mean=mean, std=std)


def estimated_statistics(files: Examples, size: int, channels: int):
    """`statistics` of the first files, for sets that are too large to be held in memory."""
    return statistics(_read(files.take(np.arange(min(len(files), _SAMPLE))), size, channels).images)


def statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 images, on the scale 0 to 1."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        mean = np.average(levels, weights=counts)
        means.append(float(mean))
        # Images of a single colour have no spread to divide by.
        stds.append(float(np.average((levels - mean) ** 2, weights=counts) ** 0.5) or 1.0)
    return tuple(means), tuple(stds)


def _read(files: Examples, size, channels):
    images = np.empty((len(files), size, size, channels), np.uint8)

    def read(start):
        for position in range(start, min(start + _CHUNK, len(files))):
            pixels = decode.read(files.images[position], channels)
            images[position] = decode.square(pixels, size)

    with futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(0, len(files), _CHUNK)):
            pass
    return Examples(images, files.labels)
