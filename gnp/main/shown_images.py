"""Images of a data source as pictures show them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from gnp.ds_pipeline.source import DataSource


def completed(source: DataSource, prepare: Callable) -> Callable[[Any], dict[str, np.ndarray]]:
    """A function that completes a batch of the source and copies it to the host.

    Args:
      source: yields the batches.
      prepare: its `prepare` or `prepare_eval`.
    """
    if source.device_data is None:
        return lambda batch: batch
    device_data = jax.device_put(source.device_data)
    prepare = jax.jit(prepare)
    return lambda batch: jax.device_get(prepare(device_data, batch))


def as_shown(source: DataSource, images: np.ndarray) -> np.ndarray:
    """Normalized images on the scale 0 to 1."""
    return images * np.float32(source.std) + np.float32(source.mean)


def evaluation_images(source: DataSource, numbers: Sequence[int]) -> np.ndarray:
    """Some images of the evaluation set, on the scale 0 to 1.

    Args:
      source: of a single process.
      numbers: of the images, in the order of evaluation.

    Returns:
      In the order of `numbers`.
    """
    found, start = {}, 0
    complete = completed(source, source.prepare_eval)
    for batch in map(complete, source.eval_batches()):
        images = batch["image"][batch["mask"] > 0]
        for number in set(numbers) & set(range(start, start + len(images))):
            found[number] = images[number - start]
        start += len(images)
        if len(found) == len(set(numbers)):
            break
    return as_shown(source, np.stack([found[number] for number in numbers]))
