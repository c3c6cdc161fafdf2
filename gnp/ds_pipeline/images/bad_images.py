"""Finding and skipping image files that cannot be used."""

import dataclasses
import logging
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import numpy as np

from gnp.ds_pipeline.images import decode
from gnp.ds_pipeline.labelled_data import Examples, LabelledData
from gnp.errors import UserError
from gnp.files import json_text, read_json, write_atomically

SKIPPED_FILE = "skipped_images.json"

# Files per task of a thread; one task per file costs more than decoding a small image.
_CHUNK = 64

_log = logging.getLogger(__name__)


def find_bad_images(
    paths: np.ndarray, channels: int, on_progress: Callable[[int], None] = lambda count: None
) -> dict[str, str]:
    """Reads and decodes every file.

    Args:
      paths: of the files.
      channels: 1 or 3.
      on_progress: called with the number of files read since the last call.

    Returns:
      Path -> reason, for the files that cannot be used, in the order of `paths`.
    """

    def check(start):
        chunk = paths[start : start + _CHUNK]
        return len(chunk), {str(path): why for path in chunk if (why := _fault(path, channels))}

    bad = {}
    with futures.ThreadPoolExecutor() as pool:
        for count, found in pool.map(check, range(0, len(paths), _CHUNK)):
            bad |= found
            on_progress(count)
    return bad


def without_bad_images(
    data: LabelledData, channels: int, run_dir: Path | None, is_writer: bool
) -> LabelledData:
    """Skips the files that cannot be used, and lists them in the run's folder.

    If an earlier start of the run wrote that list, it is read and no file is checked again.

    Raises:
      UserError: no image remains in the training or the test set.
    """
    listing = run_dir / SKIPPED_FILE if run_dir else None
    if listing and listing.exists():
        bad = read_json(listing)
    else:
        bad = find_bad_images(np.concatenate([data.train.images, data.test.images]), channels)
        for path, why in bad.items():
            # A file name may not be valid text, which a log cannot store.
            _log.warning("Skipping %s: %s.", path.encode(errors="backslashreplace").decode(), why)
        if listing and is_writer:
            # JSON, because file names may contain line breaks and bytes that are not text.
            write_atomically(listing, json_text(bad))
    names = list(bad)
    return dataclasses.replace(
        data, train=_without(data.train, names, "training"), test=_without(data.test, names, "test")
    )


def _without(files: Examples, bad, part):
    kept = np.flatnonzero(~np.isin(files.images, bad))
    if len(files) and not len(kept):
        raise UserError(f"No image of the {part} set can be used; see {SKIPPED_FILE}.")
    return files.take(kept)


def _fault(path, channels):
    try:
        decode.read(path, channels)
    except UserError as error:
        return str(error.__cause__)
    return ""
