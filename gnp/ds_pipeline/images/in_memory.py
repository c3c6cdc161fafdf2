"""Image files that are decoded once and kept in memory."""

import contextlib
import dataclasses
import hashlib
import logging
import os
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gnp.ds_pipeline import partition
from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.labelled_data import Examples, LabelledData

CACHE_FILE = "images.npz"

# Files per task of a thread; one task per file costs more than decoding a small image.
_CHUNK = 64

_SAMPLE = 5000  # images to estimate statistics from

# Part of the cache's key. Increase it when the same files are decoded to other pixels.
_VERSION = 2

_log = logging.getLogger(__name__)


class Form(NamedTuple):
    """What image files are decoded to.

    Attributes:
      size: height and width in pixels.
      channels: 1 or 3.
      resize: how images of another shape become squares, see `decode.square`.
    """

    size: int
    channels: int
    resize: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return self.size, self.size, self.channels

    @classmethod
    def of(cls, dataset: Any) -> "Form":
        """That which the block `dataset` of a config asks for."""
        return cls(dataset.image_size, dataset.num_channels, dataset.resize)


def read_into_memory(
    data: LabelledData, form: Form, cache: Path | None = None, is_writer: bool = False
) -> LabelledData:
    """Decodes all files of a data set.

    Args:
      data: with paths as images.
      form: of the decoded images.
      cache: an .npz file. If it has the decoded images of exactly these files, they are read from
        it; otherwise they are written to it.
      is_writer: whether this process writes the cache.

    Raises:
      UserError: a file cannot be used; the message names it and says why.
    """
    files = data.train.images, data.test.images
    key = _fingerprint(data, form) if cache else ""
    images = _from_cache(cache, key, [(len(paths), *form.shape) for paths in files])
    if images is None:
        joined = _decode(np.concatenate(files), form)
        images = joined[: len(files[0])], joined[len(files[0]) :]
        if cache and is_writer:
            _to_cache(cache, key, images)
    mean, std = (data.mean, data.std) if data.mean else statistics(images[0])
    train, test = (
        dataclasses.replace(part, images=decoded, files=paths)
        for part, decoded, paths in zip((data.train, data.test), images, files, strict=True)
    )
    return dataclasses.replace(data, train=train, test=test, mean=mean, std=std)


def estimated_statistics(files: Examples, form: Form):
    """`statistics` of a fixed sample of files, for sets larger than memory."""
    chosen = partition.split_order(len(files))[:_SAMPLE]
    return statistics(_decode(files.images[chosen], form))


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


def warn_of_cut(cut: np.ndarray, form: Form) -> None:
    """Says how much of the images becoming squares cuts off.

    Args:
      cut: the share of each image that does, from `decode.share_cut`.
      form: of the decoded images.
    """
    if form.resize == "crop" and (count := np.count_nonzero(cut)):
        _log.warning(
            "%d of %d images are not square. What lies beyond their centred squares, %.1f %% of "
            "their pixels, is cut off. dataset.resize=squash and pad keep it.",
            count,
            len(cut),
            100 * cut[cut > 0].mean(),
        )


def _decode(paths, form):
    images = np.empty((len(paths), *form.shape), np.uint8)
    cut = np.zeros(len(paths))

    def read(start):
        for position in range(start, min(start + _CHUNK, len(paths))):
            pixels = decode.read(paths[position], form.channels)
            images[position] = decode.square(pixels, form.size, form.resize)
            cut[position] = decode.share_cut(pixels, form.size)

    with futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(0, len(paths), _CHUNK)):
            pass
    warn_of_cut(cut, form)
    return images


def _fingerprint(data, form):
    """A hash of the files' names, sizes and times, and of the form of the decoded images."""
    digest = hashlib.sha256(f"{_VERSION} {form}".encode())
    for path in np.concatenate([data.train.images, data.test.images]):
        with contextlib.suppress(OSError):  # reading the file will raise and name it
            status = os.stat(path)
            digest.update(os.fsencode(path))
            digest.update(f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _from_cache(cache, key, shapes):
    if cache is None or not cache.is_file():
        return None
    try:
        with np.load(cache, allow_pickle=False) as content:
            if content["key"].item() != key:
                return None
            images = content["train"], content["test"]
        if [(part.shape, part.dtype) for part in images] == [(s, np.uint8) for s in shapes]:
            return images
    except Exception:  # numpy raises many types on damaged files
        pass
    _log.warning("%s is damaged; decoding the images again.", cache)
    return None


def _to_cache(cache, key, images):
    """Writes to another name first, so that no process reads an incomplete file."""
    part = cache.with_suffix(".part.npz")
    try:
        np.savez(part, key=key, train=images[0], test=images[1])
        part.replace(cache)
    except OSError as error:  # such as a full disk
        _log.warning("%s cannot be written (%s); the next start decodes again.", cache, error)
        with contextlib.suppress(OSError):
            part.unlink()
