"""Images per second of whole penalized training, from files on disk to updated parameters.

python -m benchmark.end_to_end [--model=WideResNet_10_1] [--images=5000] [--epochs=3] [--rounds=3]
    [--batch_size=128] [--torch_python=PYTHON]

Prints one JSON object. All train on made-up files in CIFAR-10's format, with crop and flip; the
first epoch, which compiles, is not counted.

  gnp_tfdata, gnp_device  this project's training loop on its two loaders, with metrics, checkpoints
                          and an evaluation of a hundred images after each epoch
  optax_sam               optax.contrib.sam (opaque) in a plain loop over the tf.data loader
  torch_closure           PyTorch: DataLoader with one worker per core, two-step closure
"""

import argparse
import json
import pathlib
import pickle
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from benchmark import timing
from benchmark.contenders import make_batch, optax_sam_opaque
from config import base
from gnp.ds_pipeline.build import build_source
from gnp.main import xla
from gnp.model import create_model
from gnp.training.loop import train

_NUM_FILES = 5


def main() -> None:
    """Measures all of them in turns."""
    xla.use_all_cores()
    arguments = _parse_arguments()
    contenders = {
        "gnp_tfdata": lambda data, runs: _ours("tfdata", data, runs, arguments),
        "gnp_device": lambda data, runs: _ours("device", data, runs, arguments),
        "optax_sam": lambda data, _: _optax(data, arguments),
        "torch_closure": lambda data, _: _torch(data, arguments),
    }
    rates = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_cifar10(folder / "cifar-10-batches-py", arguments.images)
        for index in range(arguments.rounds):
            for name, run in contenders.items():
                rates[name].append(run(folder, folder / f"{name}{index}"))
    rates = {name: found for name, found in rates.items() if all(found)}
    figures = {
        "model": arguments.model,
        "batch_size": arguments.batch_size,
        "images": arguments.images,
        "epochs": arguments.epochs,
        "rounds": arguments.rounds,
    }
    for name, found in rates.items():
        figures[name] = {
            "median_images_per_second": round(float(np.median(found)), 1),
            "min": round(min(found), 1),
            "max": round(max(found), 1),
        }
    for name in ("gnp_tfdata", "gnp_device"):
        for peer in sorted(rates.keys() - {"gnp_tfdata", "gnp_device"}):
            figures[f"{name}/{peer}"] = timing.ratio(rates[name], rates[peer])
    print(json.dumps(figures | timing.machine()))


def _ours(loader, data, folder, arguments):
    config = _config(loader, data, arguments)
    source = _TimedSource(build_source(config))
    folder.mkdir()
    train(config, model=create_model(arguments.model, 10), source=source, folder=folder)
    steps = (arguments.epochs - 1) * (arguments.images // arguments.batch_size)
    return steps * arguments.batch_size / (source.evaluation - source.second_epoch)


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
        self.evaluation = time.perf_counter()
        return self._source.eval_batches()


def _optax(data, arguments):
    source = build_source(_config("tfdata", data, arguments))
    batch = make_batch(arguments.batch_size, 32)
    step, state, _ = optax_sam_opaque(create_model(arguments.model, 10), batch)
    for epoch in range(arguments.epochs):
        if epoch == 1:
            jax.block_until_ready(state)
            start = time.perf_counter()
        count = 0
        for batch in source.train_batches(epoch):
            state, _ = step(state, jax.device_put(batch))
            count += arguments.batch_size
    jax.block_until_ready(state)
    return (arguments.epochs - 1) * count / (time.perf_counter() - start)


def _torch(data, arguments):
    command = [arguments.torch_python, "-m", "benchmark.torch_end_to_end", str(data)]
    command += [arguments.model, str(arguments.batch_size), str(arguments.epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no figure of PyTorch: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return 0.0
    return float(done.stdout)


def _config(loader, data, arguments):
    config = base.get_config()
    config.dataset.update(data_dir=str(data), loader=loader)
    config.batch_size = arguments.batch_size
    config.total_epochs = arguments.epochs
    config.evaluate_every_n_epochs = 1  # which waits for the epoch's steps; batches do not
    config.l2_regularization = 5e-4
    config.gnp.update(r=0.1, alpha=1.0)
    return config


def write_cifar10(folder: pathlib.Path, num_images: int) -> None:
    """Noise in the files that CIFAR-10's authors publish; the test set is a hundred images.

    Args:
      folder: is created.
      num_images: of the training set.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    counts = {f"data_batch_{i + 1}": num_images // _NUM_FILES for i in range(_NUM_FILES)}
    for name, count in {**counts, "test_batch": 100}.items():
        images = rng.integers(0, 256, (count, 3 * 32 * 32), np.uint8)
        labels = [int(label) for label in rng.integers(0, 10, count)]
        with (folder / name).open("wb") as file:
            pickle.dump({b"data": images, b"labels": labels}, file)
    with (folder / "batches.meta").open("wb") as file:
        pickle.dump({b"label_names": [b"class%d" % label for label in range(10)]}, file)


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmark.end_to_end")
    parser.add_argument("--model", default="WideResNet_10_1")
    parser.add_argument("--images", type=int, default=5000, help="in the training set")
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--torch_python", default=sys.executable, help="a Python that has torch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
