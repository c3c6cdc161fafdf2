"""Image files decoded once and held in memory."""

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

# Files per task of a thread: handing over single files costs more than decoding small ones.
_CHUNK = 64

_SAMPLE = 5000

_log = logging.getLogger(__name__)


def read_into_memory(
    data: LabelledData, size: int, channels: int, cache: Path | None = None, is_writer: bool = False
) -> LabelledData:
    """Decodes all files of a data set, each as its centred square of size x size pixels.

    Args:
      data: with paths as images.
      size, channels: of the images wanted.
      cache: an .npz file to take them from, if it holds these very files, and else to write them
        to.
      is_writer: whether this process writes that file.

    Raises:
      UserError: a file cannot be used; names it and says why.
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
    """`statistics` of some files, for sets that are too large to be held in memory."""
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
        # Images of a single colour have no spread to divide by, but for what rounding leaves.
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
    """Changes with the files' names, sizes and times, and with the images made of them."""
    digest = hashlib.sha256(f"{size} {channels}".encode())
    for path in np.concatenate([data.train.images, data.test.images]):
        with contextlib.suppress(OSError):  # whoever reads the file will name it
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
        _log.warning("%s is damaged; reading the images anew.", cache)
    return None


def _to_cache(cache, key, images):
    """Written under another name first, so that nobody reads a part."""
    part = cache.with_suffix(".part.npz")
    np.savez(part, key=key, train=images[0], test=images[1])
    part.replace(cache)
