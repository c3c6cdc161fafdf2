"""Hold-out split, subset, and each process's share of a global batch."""

import numpy as np

from gnp.batch_size import share_of_batch
from gnp.ds_pipeline import rng
from gnp.ds_pipeline.labelled_data import Examples
from gnp.errors import UserError

HOLD_OUT_FRACTION = 0.1

# Hold-out and subset do not depend on the run's seed, so that runs are comparable.
_SPLIT_SEED = 0


def hold_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits a training set into (kept, held-out) indices by a fixed, stratified shuffle.

    The held-out part has round(n / 10) images: 10 % of each class to within one image. Where images
    have several classes, images with the same ones are a class here.
    """
    if labels.ndim == 2:
        labels = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    shuffled = split_order(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # In this order, which is sorted by class, every tenth image is held out. Each class and the
    # whole set lose 10 % to within one image.
    held = np.floor(np.arange(1, len(labels) + 1) * HOLD_OUT_FRACTION + 0.5)
    is_held = np.diff(held, prepend=0) > 0
    return np.sort(by_class[~is_held]), np.sort(by_class[is_held])


def first_images(examples: Examples, count: int) -> Examples:
    """The first `count` examples after a shuffle with a fixed seed; all examples if count is 0."""
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
    """The rows of a global batch that process p loads: the p-th contiguous part.

    Raises:
      UserError: the processes do not divide the batch evenly.
    """
    size = share_of_batch(batch_size, process_count, f"{process_count} processes")
    return slice(process_index * size, (process_index + 1) * size)


def mirrored(rows: slice, batch_size: int) -> slice:
    """The rows that, in reverse order, are the part `rows` of the reversed global batch."""
    return slice(batch_size - rows.stop, batch_size - rows.start)
