"""Images per second of the data pipelines, compared with PyTorch and Pillow.

python -m benchmark.loader [--seconds=5] [--rounds=3] [--cases=A,B] [--images=FOLDER]
    [--torch_python=PYTHON]

Prints one JSON object per case. Both contenders do the same work with one worker per core. They
alternate, each time in a fresh process. A contender that fails is dropped, and standard error says
why. FOLDER holds the photos of the ImageNet cases, <class>/*.JPEG; by default they are generated.
PYTHON is an interpreter with torch and Pillow, if not this one.
"""

import argparse
import functools
import itertools
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from benchmark import options, timing
from benchmark.subprocess_case import describe_machine, rates_in_rounds, run_case

GENERATED_PHOTOS = 100
PHOTOS_PER_EPOCH = 10_000

# Case -> (loader, image-level augmentation, batch-level augmentation, case in PyTorch).
CASES = {
    "cifar_basic": ("tfdata", "basic", "none", "cifar_basic"),
    "cifar_autoaugment_mixcut": ("tfdata", "autoaugment", "mixcut", "cifar_autoaugment_mixcut"),
    "imagenet_crop": ("tfdata", "basic", "none", "imagenet_crop"),
    "imagenet_randaugment": ("tfdata", "randaugment", "none", "imagenet_randaugment"),
    "cifar_basic_device": ("device", "basic", "none", "cifar_basic"),
}


def main() -> None:
    """Measures each case."""
    arguments = parse_arguments()
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photos = None
        if any(case.startswith("imagenet") for case in arguments.cases):
            photos = arguments.images or _generate_photos(folder / "generated")
            photos = str(_repeated(photos, folder / "all"))
        for case in arguments.cases:
            print(json.dumps(measure(case, photos, arguments) | machine), flush=True)


def measure(case: str, photos: str | None, arguments) -> dict:
    """Returns the rates of one case, and the versions of packages."""
    loader, image_level, batch_level, torch_case = CASES[case]
    request = {"case": torch_case, "photos": photos, "seconds": arguments.seconds}
    ours = {"loader": loader, "image_level": image_level, "batch_level": batch_level}
    in_jax = functools.partial(run_case, sys.executable, "benchmark.jax.loader")
    in_torch = functools.partial(run_case, arguments.torch_python, "benchmark.torch.loader")
    contenders = {
        "gnp": functools.partial(in_jax, **request, **ours),
        "pytorch": functools.partial(in_torch, **request),
    }
    rates, versions = rates_in_rounds(contenders, rounds=arguments.rounds)
    return {
        "case": case,
        "rounds": arguments.rounds,
        **{name: timing.spread(found, "images_per_second") for name, found in rates.items()},
        "gnp/pytorch": timing.ratio(rates["gnp"], rates["pytorch"]) if len(rates) == 2 else None,
        **versions,
    }


def _generate_photos(folder):
    """Writes JPEG files with about the size and detail of ImageNet's."""
    from PIL import Image  # imported here, as the other cases do not need it

    rng = np.random.default_rng(0)
    for number in range(GENERATED_PHOTOS):
        path = folder / f"class{number % 10}" / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def _repeated(photos, folder):
    """Links to the photos several times, so that an epoch is long."""
    paths = sorted(photos.glob("*/*"))
    for number, path in itertools.product(range(-(-PHOTOS_PER_EPOCH // len(paths))), paths):
        link = folder / path.parent.name / f"{number}_{path.name}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
    return folder


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("loader", __doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per case, contender and round")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--images", type=pathlib.Path, help="photos, <class>/*.JPEG")
    options.add_torch_python(parser)
    cases = {"type": options.names(CASES), "default": ",".join(CASES)}
    parser.add_argument("--cases", **cases, help="names, separated by commas")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
