"""The JAX contenders of `benchmark.end_to_end`.

python -m benchmark.jax.end_to_end REQUEST: REQUEST is JSON, the arguments of `measure`. Prints the
images per second, and the version of tensorflow if it was imported.
"""

import importlib
import pathlib
import tempfile
import time

import jax

from benchmark.jax import default_config, steps
from benchmark.subprocess_case import answer_request
from gnp.ds_pipeline.build import build_source
from gnp.training.loop import train
from gnp.training.settings.run import read_settings


def measure(*, function: str, **request) -> float:
    """Returns the images per second of one of the functions below."""
    return {"gnp": gnp, "optax": optax, "bare_step": bare_step}[function](**request)


def gnp(**request) -> float:
    """Trains by the loop of this project."""
    config = _config(**request)
    source = _TimedSource(build_source(config))
    model = steps.build_model(request["model"], request["dtype"])
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings(config, num_devices=jax.device_count())
        train(settings, model=model, source=source, folder=pathlib.Path(folder))
    images = (config.total_epochs - 1) * _images_per_epoch(source, config)
    return images / (source.last_evaluation - source.second_epoch)


def optax(**request) -> float:
    """Trains by `optax.contrib.sam` in a plain loop over a data source of this project."""
    config = _config(**request)
    source = build_source(config)
    batch = steps.make_batch(config.batch_size, 32)
    model = steps.build_model(request["model"], request["dtype"])
    step, state, _ = steps.optax_sam_opaque(model, batch)
    device_data = jax.device_put(source.device_data)
    prepare = jax.jit(source.prepare) if device_data else lambda _, batch: batch
    for epoch in range(config.total_epochs):
        if epoch == 1:
            jax.block_until_ready(state)
            start = time.perf_counter()
        for batch in source.train_batches(epoch):
            state, _ = step(state, prepare(device_data, jax.device_put(batch)))
    jax.block_until_ready(state)
    images = (config.total_epochs - 1) * _images_per_epoch(source, config)
    return images / (time.perf_counter() - start)


def bare_step(*, model: str, dtype: str, batch_size: int, images: int, epochs: int, **_) -> float:
    """Repeats the penalized step of this project on one batch, as often as in training."""
    batch = steps.make_batch(batch_size, 32)
    step = steps.our_step(steps.build_model(model, dtype), batch, penalized=True)
    count = (epochs - 1) * (images // batch_size)
    return count * batch_size / steps.Contender(*step)(count)


class _TimedSource:
    """A data source that records when the second epoch starts and when training ends.

    Steps run asynchronously behind the requested batches. Evaluations wait for them.
    """

    def __init__(self, source):
        self._source = source

    def __getattr__(self, name):
        return getattr(self._source, name)

    def train_batches(self, epoch, first_step=0):
        if epoch == 1:
            self.second_epoch = time.perf_counter()
        return self._source.train_batches(epoch, first_step)

    def eval_batches(self):
        self.last_evaluation = time.perf_counter()
        return self._source.eval_batches()


def _images_per_epoch(source, config):
    return source.num_train_images // config.batch_size * config.batch_size


def _config(*, loader, data, batch_size, epochs, dtype, steps_per_loop, ascent="gradient", **_):
    if loader == "tfdata":  # without tensorflow, numpy would be measured in its place
        importlib.import_module("tensorflow")
    config = default_config.get_config()
    config.dataset.update(data_dir=data, loader=loader, num_classes=10, num_channels=3)
    config.batch_size = batch_size
    config.total_epochs = epochs
    config.compute_dtype = dtype
    config.steps_per_loop = steps_per_loop
    config.evaluate_every_n_epochs = 1  # waits for the steps of the epoch; batches do not
    config.base_lr = steps.LEARNING_RATE
    config.opt.opt_params.update(momentum=steps.MOMENTUM, nesterov=False)
    config.gradient_clipping = steps.CLIPPING
    config.l2_regularization = steps.L2
    if ascent is not None:  # else standard training
        # As in optax, which does not mix the gradients.
        config.gnp.update(r=steps.RADIUS, alpha=1.0, ascent=ascent)
    return config


if __name__ == "__main__":
    answer_request("images_per_second", measure, tensorflow="tensorflow")
