"""Images per second of the data pipelines, beside plain PyTorch with Pillow.

python -m benchmark.loader [--seconds=5] [--rounds=3] [--cases=A,B] [--images=FOLDER]
    [--torch_python=PYTHON]

Prints one JSON object per case. Both sides do the same work with as many workers as there are
cores, one after the other. FOLDER holds photos for the ImageNet cases, <class>/*.JPEG; without it
photos are made up. PYTHON is one that has torch, if it is not this one.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from PIL import Image

from config import base
from gnp.ds_pipeline import settings
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.examples import Examples, LabelledData

BATCH_SIZE = 256
CIFAR_IMAGES = 50_000
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
    arguments = _parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photos = _repeated(arguments.images or _made_up_photos(folder / "made_up"), folder / "all")
        for case in arguments.cases.split(","):
            print(json.dumps(measure(case, photos, arguments)), flush=True)


def measure(case: str, photos: pathlib.Path, arguments) -> dict:
    """Ours and theirs of one case, in images per second."""
    *_, theirs = CASES[case]
    ours, torch = 0.0, 0.0
    for _ in range(arguments.rounds):  # the best of each, for others may use the machine too
        ours = max(ours, _ours(case, photos, arguments.seconds))
        torch = max(torch, _torch(theirs, photos, arguments))
    return {
        "case": case,
        "images_per_second": round(ours),
        "torch_images_per_second": round(torch) or None,
        "ratio": round(ours / torch, 2) if torch else None,
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
    }


def _ours(case, photos, seconds):
    loader, image_level, batch_level, _ = CASES[case]
    config = base.get_config()
    config.batch_size = BATCH_SIZE
    config.dataset.loader = loader
    config.dataset.image_level_augmentations = image_level
    config.dataset.batch_level_augmentations = batch_level
    if not case.startswith("imagenet"):
        return _rate(_cifar_source(config), seconds)
    config.batch_size = 64
    config.imagenet_train_dir = config.imagenet_val_dir = str(photos)
    config.dataset.update(dataset_name="imagenet", image_size=224)
    config.dataset.num_classes = sum(1 for entry in os.scandir(photos) if entry.is_dir())
    return _rate(build_source(config), seconds)


def _cifar_source(config):
    """The pipeline of CIFAR-10 on noise: what the pixels show does not change the speed."""
    images = np.random.default_rng(0).integers(0, 256, (CIFAR_IMAGES, 32, 32, 3), np.uint8)
    examples = Examples(images, np.arange(CIFAR_IMAGES) % 10)
    names = [str(label) for label in range(10)]
    data = LabelledData(examples, examples.take(np.arange(100)), names, (0.5,) * 3, (0.25,) * 3)
    if config.dataset.loader == "device":
        from gnp.ds_pipeline.device import DeviceSource as Source
    else:
        from gnp.ds_pipeline.tf_source import TfSource as Source
    return Source(data, settings.from_config(config))


def _rate(source, seconds):
    """Over whole epochs, after a first batch; those of the device source are made on the device."""
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


def _torch(case, photos, arguments):
    command = [arguments.torch_python, "-m", "benchmark.loader_torch"]
    command += [case, str(photos), str(arguments.seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no figure of PyTorch: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return 0.0
    return float(done.stdout)


def _made_up_photos(folder):
    """JPEG files of the size of ImageNet's, with about as much detail."""
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
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--images", type=pathlib.Path, help="photos, <class>/*.JPEG")
    parser.add_argument("--torch_python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--cases", default=",".join(CASES), help="which, separated by commas")
    return parser.parse_args()


if __name__ == "__main__":
    main()
