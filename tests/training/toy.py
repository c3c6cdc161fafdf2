"""A model and a data set small enough to train in a moment."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

from config import base
from gnp.ds_pipeline.source import DataSource
from gnp.training.loop import train
from gnp.training.settings.run import read_settings


class ToyModel(nn.Module):
    """One hidden layer with batch norm and dropout."""

    num_outputs: int = 3
    dropout_rate: float = 0.0
    use_batch_norm: bool = True
    hidden: int = 8
    dtype: Any = None  # of activations and products

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Dense(self.hidden, dtype=self.dtype)(inputs.reshape(len(inputs), -1))
        if self.use_batch_norm:
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(nn.gelu(x))
        return nn.Dense(self.num_outputs, dtype=self.dtype)(x)


class ToySource(DataSource):
    """Three Gaussian clouds as 2x2 images, shuffled by (seed, epoch)."""

    image_shape = (2, 2, 1)
    class_names = ("a", "b", "c")

    def __init__(self, *, batch_size=16, num_train_images=70, num_eval_images=21, seed=0):
        self.num_train_images = num_train_images
        self.num_eval_images = num_eval_images
        self._batch_size = batch_size
        self._seed = seed
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(3, *self.image_shape))
        labels = rng.integers(0, 3, num_train_images + num_eval_images)
        noise = rng.normal(size=(len(labels), *self.image_shape))
        self._images = (centres[labels] + noise).astype(np.float32)
        self._labels = np.eye(3, dtype=np.float32)[labels]

    def train_batches(self, epoch, first_step=0):
        order = np.random.default_rng((self._seed, epoch)).permutation(self.num_train_images)
        for step in range(first_step, self.num_train_images // self._batch_size):
            chosen = order[step * self._batch_size : (step + 1) * self._batch_size]
            yield {"image": self._images[chosen], "label": self._labels[chosen]}

    def eval_batches(self):
        images = self._images[self.num_train_images :]
        labels = self._labels[self.num_train_images :]
        for start in range(0, len(images), self._batch_size):
            image, label = images[start:][: self._batch_size], labels[start:][: self._batch_size]
            missing = self._batch_size - len(image)
            yield {
                "image": np.concatenate([image, np.full((missing, 2, 2, 1), np.nan, np.float32)]),
                "label": np.concatenate([label, np.zeros((missing, 3), np.float32)]),
                "mask": np.arange(self._batch_size) < len(image),
            }


def toy_config(**overrides):
    """A short run with the penalty; `overrides` are fields by their dotted names."""
    config = base.get_config()
    config.batch_size = 16
    config.total_epochs = 3
    config.gnp.r = 0.1
    config.gnp.alpha = 0.8
    config.save_ckpt_every_n_epochs = 1
    config.update_from_flattened_dict(overrides)
    return config


def toy_settings(**overrides):
    """What training takes from `toy_config`."""
    return read_settings(toy_config(**overrides), num_devices=jax.device_count())


def train_toy(folder, source=None, model=None, **overrides):
    """Trains a toy model in a folder, which is created if need be; returns the summary."""
    folder.mkdir(exist_ok=True)
    return train(
        toy_settings(**overrides),
        model=model or ToyModel(),
        source=source or ToySource(),
        folder=folder,
    )


def split(batch, devices):
    """A batch with each device's part along a new first axis."""
    return {name: v.reshape(devices, -1, *v.shape[1:]) for name, v in batch.items()}
