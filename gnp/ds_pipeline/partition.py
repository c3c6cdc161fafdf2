"""Who sees which image: hold-out, subset, and each process's share of a global batch."""

import numpy as np

from gnp.ds_pipeline import rng
from gnp.ds_pipeline.labelled_data import Examples
from gnp.errors import UserError

HOLD_OUT_FRACTION = 0.1

# Hold-out and subset are the same for every run, whatever its seed: runs stay comparable.
_SPLIT_SEED = 0


def hold_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits a training set into (kept, held-out) indices by a fixed, stratified shuffle.

    The held-out part has round(n / 10) images, and of each class 10 % to within one image.
    """
    shuffled = split_order(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Walking through the classes one after the other, every tenth image is held out: within one
    # image of 10 % of each class and of the whole.
    held = np.floor(np.arange(1, len(labels) + 1) * HOLD_OUT_FRACTION + 0.5)
    is_held = np.diff(held, prepend=0) > 0
    return np.sort(by_class[~is_held]), np.sort(by_class[is_held])


def first_images(examples: Examples, count: int) -> Examples:
    """The first `count` examples after a shuffle with a fixed seed; all of them if count is 0."""
    if not 0 <= count <= len(examples):
        raise UserError(
            f"dataset.num_train_images is {count}, but the training set has {len(examples)} "
            "images; set it to 0 for all of them, or to a number up to that."
        )
    return examples.take(split_order(len(examples))[:count]) if count else examples


def split_order(count: int) -> np.ndarray:
    """A fixed shuffle of `count` examples, the same for every run."""
    return rng.generator(rng.SPLIT, _SPLIT_SEED).permutation(count)


def share(batch_size: int, process_index: int, process_count: int) -> slice:
    """The rows of a global batch that one process loads: the p-th contiguous part.

    Raises:
      UserError: the batch cannot be divided evenly.
    """
    if batch_size < 1 or batch_size % process_count:
        raise UserError(
            f"batch_size {batch_size} does not divide over {process_count} processes; "
            f"choose a multiple of {process_count}."
        )
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def mirrored(rows: slice, batch_size: int) -> slice:
    """The rows whose order reversed is the part `rows` of the reversed global batch."""
    return slice(batch_size - rows.stop, batch_size - rows.start)
