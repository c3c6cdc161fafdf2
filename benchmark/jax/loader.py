"""This project's side of `benchmark.loader`.

python -m benchmark.jax.loader REQUEST: REQUEST is JSON, the arguments of `measure`. Prints the
images per second, and the version of tensorflow if it was imported.
"""

import itertools
import os
import time

import jax
import numpy as np

from benchmark.jax import default_config
from benchmark.subprocess_case import answer_request
from gnp.ds_pipeline import settings
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.labelled_data import Examples, LabelledData

CIFAR_IMAGES = 50_000


def measure(
    *, loader: str, image_level: str, batch_level: str, case: str, photos: str, seconds: float
) -> float:
    """Returns the images per second of one case of `benchmark.loader`."""
    config = default_config.get_config()
    config.dataset.loader = loader
    config.dataset.image_level_augmentations = image_level
    config.dataset.batch_level_augmentations = batch_level
    config.dataset.update(num_classes=10, num_channels=3)
    if not case.startswith("imagenet"):
        config.batch_size = 256
        return _rate(_cifar_source(config), seconds)
    config.batch_size = 64
    config.imagenet_train_dir = config.imagenet_val_dir = photos
    config.dataset.update(dataset_name="imagenet", image_size=224)
    config.dataset.num_classes = sum(1 for entry in os.scandir(photos) if entry.is_dir())
    return _rate(build_source(config), seconds)


def _cifar_source(config):
    """Returns CIFAR-10's pipeline on noise; pixel values do not affect the speed."""
    images = np.random.default_rng(0).integers(0, 256, (CIFAR_IMAGES, 32, 32, 3), np.uint8)
    examples = Examples(images, np.arange(CIFAR_IMAGES) % 10)
    names = [str(label) for label in range(10)]
    data = LabelledData(examples, examples.take(np.arange(100)), names, (0.5,) * 3, (0.25,) * 3)
    if config.dataset.loader == "device":
        from gnp.ds_pipeline.loaders.device_source import DeviceSource as Source
    else:
        from gnp.ds_pipeline.loaders.tf_source import TfSource as Source
    return Source(data, settings.from_config(config))


def _rate(source, seconds):
    """Measures after a first batch. The device source prepares batches on the device."""
    epochs = (source.train_batches(epoch) for epoch in itertools.count())
    batches = itertools.chain.from_iterable(epochs)
    if source.device_data is not None:
        device_data, prepare = jax.device_put(source.device_data), jax.jit(source.prepare)
        batches = (prepare(device_data, batch) for batch in batches)
    jax.block_until_ready(next(batches))
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        batch = next(batches)
        count += len(batch["image"])
    jax.block_until_ready(batch)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    answer_request("images_per_second", measure, tensorflow="tensorflow")
