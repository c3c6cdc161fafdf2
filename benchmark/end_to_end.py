"""Images per second of whole penalized training on data like CIFAR-10, beside others.

python -m benchmark.end_to_end [--contenders=A,B] [--model=WideResNet_10_1] [--images=5000]
    [--epochs=3] [--rounds=3] [--batch_size=128] [--dtype=bfloat16] [--steps_per_loop=10]
    [--torch_python=PYTHON]

Prints one JSON object. In each round each contender trains in a fresh process, the first being
another one each time; one that cannot run here, for want of a package say, is left out of the line,
and standard error says why. The ratios compare rounds with themselves.

  gnp_device, gnp_tfdata      this project's training loop on its two loaders
  optax_device, optax_tfdata  optax.contrib.sam (opaque) in a plain loop over the same loaders
  torch_closure               PyTorch: DataLoader with one worker per core, two-step closure
  bare_step                   this project's penalized step alone, again and again on one batch
  torch_bare_step             the two-step closure alone, likewise

All train on made-up files in CIFAR-10's format, with crop and flip. The clock starts with the
second epoch: programs are compiled then, the files read and their images in memory, those of the
device loader on the device. It stops when the last step is done. For this project's loop it holds
the metrics of each step, and between epochs an evaluation of a hundred images, and a checkpoint if
that evaluation was the best so far; the others do none of this. Those on tf.data need tensorflow;
the others of JAX what setup.py lists, but for ml_collections.
"""

import argparse
import functools
import json
import pathlib
import pickle
import sys
import tempfile

import numpy as np

from benchmark import machine, timing
from benchmark.child import ask, rates_in_turns
from gnp.main import xla

_JAX, _TORCH = "benchmark.end_to_end_jax", "benchmark.torch.end_to_end"

# Contender -> the module that runs it, and what that is asked for.
_CONTENDERS = {
    "gnp_device": (_JAX, {"way": "gnp", "loader": "device"}),
    "gnp_tfdata": (_JAX, {"way": "gnp", "loader": "tfdata"}),
    "optax_device": (_JAX, {"way": "optax", "loader": "device"}),
    "optax_tfdata": (_JAX, {"way": "optax", "loader": "tfdata"}),
    "torch_closure": (_TORCH, {"way": "closure"}),
    "bare_step": (_JAX, {"way": "bare_step"}),
    "torch_bare_step": (_TORCH, {"way": "bare_step"}),
}
_OURS = [name for name, (_, request) in _CONTENDERS.items() if request["way"] == "gnp"]
_RATIOS = (
    *((ours, other) for ours in _OURS for other in _CONTENDERS if other not in _OURS),
    ("torch_closure", "torch_bare_step"),
    ("bare_step", "torch_bare_step"),
)
_REQUESTED = ("model", "batch_size", "images", "epochs", "dtype", "steps_per_loop")
_NUM_FILES = 5


def main() -> None:
    """Measures all of them in turns."""
    xla.use_all_cores()
    arguments = _parse_arguments()
    # This process must not take the accelerator from those that it starts.
    found = ask(sys.executable, "benchmark.machine")
    machine.require_one_device(found["num_devices"])
    if arguments.images is None:
        arguments.images = 5000 if found["backend"] == "cpu" else 50_000
    with tempfile.TemporaryDirectory() as folder:
        write_cifar10(pathlib.Path(folder) / "cifar-10-batches-py", arguments.images)
        contenders = {name: _contender(name, arguments, folder) for name in arguments.contenders}
        rates, versions = rates_in_turns(contenders, rounds=arguments.rounds)
    if not rates:
        sys.exit("No contender could run.")
    settings = {name: getattr(arguments, name) for name in (*_REQUESTED, "rounds")}
    print(json.dumps(settings | compare(rates) | found | versions))


def compare(rates: dict[str, list[float]]) -> dict:
    """Median and spread of each, and the ratios of those of `_RATIOS` that there are."""
    figures = {name: timing.spread(found, "images_per_second") for name, found in rates.items()}
    for one, other in _RATIOS:
        if one in rates and other in rates:
            figures[f"{one}/{other}"] = timing.ratio(rates[one], rates[other])
    return figures


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


def _contender(name, arguments, data):
    module, request = _CONTENDERS[name]
    python = arguments.torch_python if module == _TORCH else sys.executable
    request = request | {field: getattr(arguments, field) for field in _REQUESTED}
    return functools.partial(ask, python, module, data=data, **request)


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmark.end_to_end")
    parser.add_argument("--contenders", default=",".join(_CONTENDERS), help="which, with commas")
    parser.add_argument("--model", default="WideResNet_10_1")
    parser.add_argument(
        "--images", type=int, help="in the training set; default 5000, on an accelerator 50000"
    )
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--steps_per_loop", type=int, default=1, help="in gnp_device, gnp_tfdata")
    parser.add_argument("--torch_python", default=sys.executable, help="a Python that has torch")
    arguments = parser.parse_args()
    arguments.contenders = arguments.contenders.split(",")
    unknown = set(arguments.contenders) - set(_CONTENDERS)
    if unknown:
        parser.error(f"no contender {sorted(unknown)}; choose of {', '.join(_CONTENDERS)}")
    if arguments.epochs < 2:
        parser.error("--epochs must be 2 or more, as the first is not counted")
    return arguments


if __name__ == "__main__":
    main()
