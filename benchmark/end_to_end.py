"""Images per second of whole penalized training runs on data like CIFAR-10.

python -m benchmark.end_to_end [--contenders=A,B] [--model=WideResNet_10_1] [--images=5000]
    [--epochs=3] [--rounds=3] [--batch_size=128] [--dtype=bfloat16] [--steps_per_loop=10]
    [--torch_python=PYTHON]

Prints one JSON object. In each round, each contender trains in a fresh process, and each round
starts with another contender. A contender that fails, because of a missing package for example, is
dropped, and standard error says why. Ratios are medians of the ratios within each round.

  gnp_device, gnp_tfdata      this project's training loop on its two loaders
  gnp_one_pass                gnp_device in one pass, along the average of past gradients
  gnp_standard                gnp_device without the penalty
  optax_device, optax_tfdata  optax.contrib.sam (opaque) in a plain loop over the same loaders
  torch_closure               PyTorch: DataLoader with one worker per core, two-step closure
  bare_step                   this project's penalized step, repeated on one batch
  torch_bare_step             the two-step closure, repeated on one batch

All train on generated files in CIFAR-10's format, with crop and flip. The clock starts with the
second epoch, when programs are compiled and the images are in memory or on the device. It stops
after the last step. The time of this project's loop includes the metrics of each step, an
evaluation of a hundred images after each epoch, and a checkpoint if that evaluation is the best so
far; the others do none of this. The tf.data contenders need tensorflow. The other JAX contenders
need the packages that setup.py lists, except ml_collections.
"""

import argparse
import functools
import json
import pathlib
import pickle
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from benchmark import machine, options, timing
from benchmark.subprocess_case import describe_machine, rates_in_rounds, run_case
from gnp.main.start import xla

_JAX, _TORCH = "benchmark.jax.end_to_end", "benchmark.torch.end_to_end"

# Contender -> the module that runs it, and the request.
_CONTENDERS = {
    "gnp_device": (_JAX, {"function": "gnp", "loader": "device"}),
    "gnp_tfdata": (_JAX, {"function": "gnp", "loader": "tfdata"}),
    "gnp_one_pass": (_JAX, {"function": "gnp", "loader": "device", "ascent": "momentum"}),
    "gnp_standard": (_JAX, {"function": "gnp", "loader": "device", "ascent": None}),
    "optax_device": (_JAX, {"function": "optax", "loader": "device"}),
    "optax_tfdata": (_JAX, {"function": "optax", "loader": "tfdata"}),
    "torch_closure": (_TORCH, {"function": "closure"}),
    "bare_step": (_JAX, {"function": "bare_step"}),
    "torch_bare_step": (_TORCH, {"function": "bare_step"}),
}
_OURS = [name for name, (_, request) in _CONTENDERS.items() if request["function"] == "gnp"]
_RATIOS = (
    *((ours, other) for ours in _OURS for other in _CONTENDERS if other not in _OURS),
    ("gnp_one_pass", "gnp_standard"),
    ("torch_closure", "torch_bare_step"),
    ("bare_step", "torch_bare_step"),
)
_REQUESTED = ("model", "batch_size", "images", "epochs", "dtype", "steps_per_loop")
_NUM_FILES = 5


def main() -> None:
    """Measures all contenders."""
    xla.use_all_cores()
    arguments = parse_arguments()
    found = describe_machine()
    machine.require_one_device(found["num_devices"])
    if arguments.images is None:
        arguments.images = 5000 if found["backend"] == "cpu" else 50_000
    with tempfile.TemporaryDirectory() as folder:
        write_cifar10(pathlib.Path(folder) / "cifar-10-batches-py", arguments.images)
        contenders = {name: _contender(name, arguments, folder) for name in arguments.contenders}
        rates, versions = rates_in_rounds(contenders, rounds=arguments.rounds)
    if not rates:
        sys.exit("No contender could run.")
    settings = {name: getattr(arguments, name) for name in (*_REQUESTED, "rounds")}
    print(json.dumps(settings | compare(rates) | found | versions))


def compare(rates: dict[str, list[float]]) -> dict:
    """Returns median and spread of each contender, and the `_RATIOS` between them."""
    figures = {name: timing.spread(found, "images_per_second") for name, found in rates.items()}
    for one, other in _RATIOS:
        if one in rates and other in rates:
            figures[f"{one}/{other}"] = timing.ratio(rates[one], rates[other])
    return figures


def write_cifar10(folder: pathlib.Path, num_images: int) -> None:
    """Writes noise in the format of CIFAR-10's files; the test set has a hundred images.

    Args:
      folder: folder to create.
      num_images: size of the training set.
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


def _contender(name, arguments, data):
    module, request = _CONTENDERS[name]
    python = arguments.torch_python if module == _TORCH else sys.executable
    request = request | {field: getattr(arguments, field) for field in _REQUESTED}
    return functools.partial(run_case, python, module, data=data, **request)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("end_to_end", __doc__)
    contenders = {"type": options.names(_CONTENDERS), "default": ",".join(_CONTENDERS)}
    parser.add_argument("--contenders", **contenders, help="names, separated by commas")
    parser.add_argument("--model", default="WideResNet_10_1")
    parser.add_argument(
        "--images", type=int, help="size of the training set; default 5000, 50000 on accelerators"
    )
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--batch_size", type=int, default=128)
    options.add_dtype(parser)
    parser.add_argument("--steps_per_loop", type=int, default=1, help="in gnp_device, gnp_tfdata")
    options.add_torch_python(parser)
    parsed = parser.parse_args(arguments)
    if parsed.epochs < 2:
        parser.error("--epochs must be 2 or more, as the first is not counted")
    return parsed


if __name__ == "__main__":
    main()
