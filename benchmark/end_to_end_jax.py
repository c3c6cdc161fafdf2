"""One contender of `benchmark.end_to_end` in JAX, in a process of its own.

python -m benchmark.end_to_end_jax REQUEST: REQUEST is JSON, `way` and the arguments of the function
of this name. Prints its images per second and the version of tensorflow, if it has loaded it.
"""

import json
import pathlib
import sys
import tempfile
import time

import jax

from benchmark import contenders, default_config
from gnp.ds_pipeline.build import build_source
from gnp.training.loop import train


def main() -> None:
    """Answers the request."""
    request = json.loads(sys.argv[1])
    ways = {"gnp": gnp, "optax": optax, "bare_step": bare_step}
    answer = {"images_per_second": ways[request.pop("way")](**request)}
    if tensorflow := sys.modules.get("tensorflow"):
        answer["tensorflow"] = tensorflow.__version__
    print(json.dumps(answer))


def gnp(**request) -> float:
    """The training loop of this project."""
    config = _config(**request)
    source = _TimedSource(build_source(config))
    model = contenders.build_model(request["model"], request["dtype"])
    with tempfile.TemporaryDirectory() as folder:
        train(config, model=model, source=source, folder=pathlib.Path(folder))
    images = (config.total_epochs - 1) * _images_per_epoch(source, config)
    return images / (source.last_evaluation - source.second_epoch)


def optax(**request) -> float:
    """`optax.contrib.sam` in a plain loop over a source of this project."""
    config = _config(**request)
    source = build_source(config)
    batch = contenders.make_batch(config.batch_size, 32)
    model = contenders.build_model(request["model"], request["dtype"])
    step, state, _ = contenders.optax_sam_opaque(model, batch)
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
    """This project's penalized step, as often as in training, on one batch that is there."""
    batch = contenders.make_batch(batch_size, 32)
    step = contenders.our_step(contenders.build_model(model, dtype), batch, penalized=True)
    steps = (epochs - 1) * (images // batch_size)
    return steps * batch_size / contenders.Contender(*step)(steps)


class _TimedSource:
    """A source that notes when the second epoch begins, and when all training is done.

    Steps run behind the batches that are asked for, up to evaluations, which wait for them.
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


def _config(*, loader, data, batch_size, epochs, dtype, steps_per_loop, **_):
    config = default_config.get_config()
    config.dataset.update(data_dir=data, loader=loader)
    config.batch_size = batch_size
    config.total_epochs = epochs
    config.compute_dtype = dtype
    config.steps_per_loop = steps_per_loop
    config.evaluate_every_n_epochs = 1  # which waits for the epoch's steps; batches do not
    config.base_lr = contenders.LEARNING_RATE
    config.opt.opt_params.update(momentum=contenders.MOMENTUM, nesterov=False)
    config.gradient_clipping = contenders.CLIPPING
    config.l2_regularization = contenders.L2
    config.gnp.update(r=contenders.RADIUS, alpha=1.0)  # as optax has it, which does not mix
    return config


if __name__ == "__main__":
    main()
