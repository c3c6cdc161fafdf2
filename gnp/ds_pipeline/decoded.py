"""Image files that are decoded once and kept in memory."""

import contextlib
import dataclasses
import hashlib
import logging
import os
import zipfile
from concurrent import futures
from pathlib import Path

import numpy as np

from gnp.ds_pipeline import decode, partition
from gnp.ds_pipeline.labelled_data import Examples, LabelledData

CACHE_FILE = "images.npz"

# Files per task of a thread; one task per file costs more than decoding a small image.
_CHUNK = 64

_SAMPLE = 5000  # images to estimate statistics from

_log = logging.getLogger(__name__)


def read_into_memory(
    data: LabelledData, size: int, channels: int, cache: Path | None = None, is_writer: bool = False
) -> LabelledData:
    """Decodes all files of a data set to their centred squares of size x size pixels.

    Args:
      data: with paths as images.
      size, channels: of the decoded images.
      cache: an .npz file. If it has the decoded images of exactly these files, they are read from
        it; otherwise they are written to it.
      is_writer: whether this process writes the cache.

    Raises:
      UserError: a file cannot be used; the message names it and says why.
    """
    key = _fingerprint(data, size, channels) if cache else ""
    images = _from_cache(cache, key)
    if images is None:
        images = [_decode(part.images, size, channels) for part in (data.train, data.test)]
        if cache and is_writer:
            _to_cache(cache, key, images)
    train, test = images
    mean, std = (data.mean, data.std) if data.mean else statistics(train)
    return dataclasses.replace(
        data,
        train=dataclasses.replace(data.train, images=train),
        test=dataclasses.replace(data.test, images=test),
        mean=mean,
        std=std,
    )


def estimated_statistics(files: Examples, size: int, channels: int):
    """`statistics` of a fixed sample of files, for sets larger than memory."""
    chosen = partition.split_order(len(files))[:_SAMPLE]
    return statistics(_decode(files.images[chosen], size, channels))


def statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 images, on the scale 0 to 1."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        mean = np.average(levels, weights=counts)
        means.append(float(mean))
        # The spread of images of a single colour is zero up to rounding.
        has_spread = np.count_nonzero(counts) > 1
        spread = np.average((levels - mean) ** 2, weights=counts) ** 0.5 if has_spread else 1.0
        stds.append(float(spread))
    return tuple(means), tuple(stds)


def _decode(paths, size, channels):
    images = np.empty((len(paths), size, size, channels), np.uint8)

    def read(start):
        for position in range(start, min(start + _CHUNK, len(paths))):
            pixels = decode.read(paths[position], channels)
            images[position] = decode.square(pixels, size)

    with futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(0, len(paths), _CHUNK)):
            pass
    return images


def _fingerprint(data, size, channels):
    """A hash of the files' names, sizes and times, and of the size of the decoded images."""
    digest = hashlib.sha256(f"{size} {channels}".encode())
    for path in np.concatenate([data.train.images, data.test.images]):
        with contextlib.suppress(OSError):  # reading the file will raise and name it
            status = os.stat(path)
            digest.update(os.fsencode(path))
            digest.update(f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _from_cache(cache, key):
    if cache is None or not cache.exists():
        return None
    try:
        with np.load(cache, allow_pickle=False) as content:
            if content["key"].item() == key:
                return content["train"], content["test"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        _log.warning("%s is damaged; decoding the images again.", cache)
    return None


def _to_cache(cache, key, images):
    """Writes to another name first, so that no process reads an incomplete file."""
    part = cache.with_suffix(".part.npz")
    np.savez(part, key=key, train=images[0], test=images[1])
    part.replace(cache)
