"""Images per second of the data pipelines, beside plain PyTorch with Pillow.

python -m benchmark.loader [--seconds=5] [--rounds=3] [--cases=A,B] [--images=FOLDER]
    [--torch_python=PYTHON]

Prints one JSON object per case. Both sides do the same work with as many workers as there are
cores, in turns, each turn in a fresh process; a side that cannot run is left out of the line, and
standard error says why. FOLDER holds photos for the ImageNet cases, <class>/*.JPEG; without it
photos are made up. PYTHON is one that has torch and Pillow, if it is not this one.
"""

import argparse
import functools
import itertools
import json
import pathlib
import sys
import tempfile

import numpy as np

from benchmark import timing
from benchmark.child import ask, rates_in_turns

MADE_UP_PHOTOS = 100
PHOTOS_PER_EPOCH = 10_000

# Case -> (loader, image-level, batch-level augmentation, what PyTorch does).
CASES = {
    "cifar_basic": ("tfdata", "basic", "none", "cifar_basic"),
    "cifar_autoaugment_mixcut": ("tfdata", "autoaugment", "mixcut", "cifar_autoaugment_mixcut"),
    "imagenet_crop": ("tfdata", "basic", "none", "imagenet_crop"),
    "imagenet_randaugment": ("tfdata", "randaugment", "none", "imagenet_randaugment"),
    "cifar_basic_device": ("device", "basic", "none", "cifar_basic"),
}


def main() -> None:
    """Measures each case."""
    arguments = _parse_arguments()
    # This process must not take the accelerator from those that it starts.
    machine = ask(sys.executable, "benchmark.machine")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photos = None
        if any(case.startswith("imagenet") for case in arguments.cases):
            photos = arguments.images or _made_up_photos(folder / "made_up")
            photos = str(_repeated(photos, folder / "all"))
        for case in arguments.cases:
            print(json.dumps(measure(case, photos, arguments) | machine), flush=True)


def measure(case: str, photos: str | None, arguments) -> dict:
    """Ours and theirs of one case, and the versions of what they use."""
    loader, image_level, batch_level, theirs = CASES[case]
    request = {"case": theirs, "photos": photos, "seconds": arguments.seconds}
    ours = {"loader": loader, "image_level": image_level, "batch_level": batch_level}
    python = arguments.torch_python
    sides = {
        "gnp": functools.partial(ask, sys.executable, "benchmark.loader_jax", **request, **ours),
        "pytorch": functools.partial(ask, python, "benchmark.torch.loader", **request),
    }
    rates, versions = rates_in_turns(sides, rounds=arguments.rounds)
    return {
        "case": case,
        "rounds": arguments.rounds,
        **{name: timing.spread(found, "images_per_second") for name, found in rates.items()},
        "gnp/pytorch": timing.ratio(rates["gnp"], rates["pytorch"]) if len(rates) == 2 else None,
        **versions,
    }


def _made_up_photos(folder):
    """JPEG files of the size of ImageNet's, with about as much detail."""
    from PIL import Image  # imported late: the other cases do not need it

    rng = np.random.default_rng(0)
    for number in range(MADE_UP_PHOTOS):
        path = folder / f"class{number % 10}" / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def _repeated(photos, folder):
    """Links to each photo, so many that an epoch is long."""
    paths = sorted(photos.glob("*/*"))
    for number, path in itertools.product(range(-(-PHOTOS_PER_EPOCH // len(paths))), paths):
        link = folder / path.parent.name / f"{number}_{path.name}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
    return folder


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmark.loader")
    parser.add_argument("--seconds", type=float, default=5.0, help="per case, side and round")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--images", type=pathlib.Path, help="photos, <class>/*.JPEG")
    parser.add_argument("--torch_python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--cases", default=",".join(CASES), help="which, separated by commas")
    arguments = parser.parse_args()
    arguments.cases = arguments.cases.split(",")
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {sorted(unknown)}; choose of {', '.join(CASES)}")
    return arguments


if __name__ == "__main__":
    main()
