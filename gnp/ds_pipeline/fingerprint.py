"""Fingerprints of data sets, which show whether a run still has the data that it began with."""

import hashlib
import json
import os

import numpy as np

from gnp.ds_pipeline.labelled_data import Examples


def fingerprint(examples: Examples, class_names: list[str]) -> str:
    """A hash of the order, the labels and the names of the classes, and of the images.

    Of images in files it takes the paths below their common folder, not the content: reading that
    would take long. Of other images it takes the pixels.
    """
    digest = hashlib.blake2b(json.dumps(class_names).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(examples.labels, np.int64))
    files = examples.files if examples.images.dtype == np.uint8 else examples.images
    if files is None:
        digest.update(repr(examples.images.shape).encode())
        digest.update(np.ascontiguousarray(examples.images))
    else:
        digest.update(_below_common_folder(files.tolist()))
    return digest.hexdigest()


def _below_common_folder(paths):
    """The paths as bytes, without the folder that all of them are in."""
    if not paths:
        return b""
    # All others are between these two in the order of names, so they begin like both.
    folders = [os.path.dirname(path) for path in (min(paths), max(paths))]
    start = len(os.path.join(os.path.commonpath(folders), ""))
    return b"\0".join(os.fsencode(path[start:]) for path in paths)
