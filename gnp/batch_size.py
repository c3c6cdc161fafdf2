"""Whether a global batch fits the devices, the processes and the training set."""

from gnp.errors import UserError


def share_of_batch(batch_size: int, count: int, parts: str) -> int:
    """Images in each of the equal parts of a global batch.

    >>> share_of_batch(64, 4, "4 devices")
    16

    Args:
      batch_size: images in the global batch.
      count: number of parts.
      parts: what they are, for the message.

    Raises:
      UserError: the batch is empty or does not divide; names the nearest sizes that do.
    """
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1.")
    if batch_size % count:
        below = batch_size - batch_size % count
        nearest = f"{below} or {below + count}" if below else str(count)
        raise UserError(
            f"batch_size is {batch_size}, which does not divide over {parts}; the nearest sizes "
            f"that do: {nearest}."
        )
    return batch_size // count


def steps_per_epoch(batch_size: int, num_train_images: int) -> int:
    """Whole batches in the training set.

    Raises:
      UserError: there is none.
    """
    if num_train_images < batch_size:
        raise UserError(
            f"batch_size is {batch_size}, but the training set has only {num_train_images} "
            "images; choose a smaller batch."
        )
    return num_train_images // batch_size
