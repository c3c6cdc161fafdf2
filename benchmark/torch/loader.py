"""The PyTorch side of `benchmark.loader`. Needs torch, Pillow and numpy only.

python -m benchmark.torch.loader REQUEST: REQUEST is JSON, the arguments of `measure`. Prints the
images per second and the versions of torch and Pillow. This is typical PyTorch code: a Dataset that
augments by Pillow, a DataLoader with one worker per core, and mixing on the collated batch.
"""

import itertools
import math
import os
import pathlib
import random
import time

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.utils.data import DataLoader, Dataset

from benchmark.subprocess_case import answer_request
from gnp.ds_pipeline.augment.policies import OPERATIONS, argument
from gnp.ds_pipeline.augment.policy_tables import POLICIES

_GRAY = (128, 128, 128)
_MEAN = torch.tensor([0.5, 0.5, 0.5])[:, None, None]
_STD = torch.tensor([0.25, 0.25, 0.25])[:, None, None]
_RANDAUGMENT = {"Translate": 100, "Cutout": 40}
_AUTOAUGMENT = {"Translate": 250, "Cutout": 100}


class Cifar(Dataset):
    def __init__(self, operations=None, count=50_000):
        self.images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
        self.operations = operations

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = Image.fromarray(self.images[index])
        if self.operations:
            image = self.operations(image)
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        image = ImageOps.expand(image, 4)
        top, left = random.randint(0, 8), random.randint(0, 8)
        return to_tensor(image.crop((left, top, left + 32, top + 32))), index % 10


class Photos(Dataset):
    def __init__(self, root, operations=None, size=224):
        self.paths = sorted(pathlib.Path(root).glob("*/*"))
        self.operations = operations
        self.size = size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB")
        box = random_box(*image.size)
        image = image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        if self.operations:
            image = self.operations(image)
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        return to_tensor(image), index % 10


def random_box(width, height):
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = random.randint(0, width - wide), random.randint(0, height - tall)
            return left, top, left + wide, top + tall
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def to_tensor(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.float().div_(255).sub_(_MEAN).div_(_STD)


def autoaugment(image):
    for name, probability, level in random.choice(POLICIES["cifar"]):
        if random.random() < probability:
            image = operate(image, name, argument(name, level, _AUTOAUGMENT))
    return image


def randaugment(image):
    for name in random.choices(OPERATIONS, k=2):
        image = operate(image, name, argument(name, 9, _RANDAUGMENT))
    return image


def operate(image, name, strength):
    """Applies one operation, by a function of Pillow where there is one."""
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return getattr(ImageEnhance, name)(image).enhance(strength)
    if name == "Posterize":
        return ImageOps.posterize(image, max(1, int(strength)))
    if name == "Solarize":
        return ImageOps.solarize(image, int(strength))
    if name == "SolarizeAdd":
        return image.point([min(255, x + int(strength)) if x < 128 else x for x in range(256)] * 3)
    if name in ("AutoContrast", "Equalize", "Invert"):
        return getattr(ImageOps, name.lower())(image)
    if name == "Cutout":
        image, reach = image.copy(), int(strength)
        x, y = random.randrange(image.width), random.randrange(image.height)
        image.paste(_GRAY, (max(0, x - reach), max(0, y - reach), x + reach, y + reach))
        return image
    signed = random.choice((-1, 1)) * strength
    if name == "Rotate":
        return image.rotate(signed, fillcolor=_GRAY)
    matrix = {
        "ShearX": (1, signed, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, signed, 1, 0),
        "TranslateX": (1, 0, signed, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, signed),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=_GRAY)


def mixcut(images, labels):
    labels = torch.nn.functional.one_hot(labels, 10).float()
    lam = random.betavariate(1, 1)
    lam = max(lam, 1 - lam)
    images = lam * images + (1 - lam) * images.flip(0)
    labels = lam * labels + (1 - lam) * labels.flip(0)
    y, x = random.randrange(32), random.randrange(32)
    images[:, :, max(0, y - 8) : y + 8, max(0, x - 8) : x + 8] = 0
    return images, labels


def measure(case, photos, seconds):
    """Returns the images per second, measured after a first batch."""
    make = {
        "cifar_basic": Cifar,
        "cifar_autoaugment_mixcut": lambda: Cifar(autoaugment),
        "imagenet_crop": lambda: Photos(photos),
        "imagenet_randaugment": lambda: Photos(photos, randaugment),
    }[case]
    loader = DataLoader(
        make(),
        batch_size=256 if case.startswith("cifar") else 64,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count(),
        persistent_workers=True,
        prefetch_factor=4,
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images, labels = next(batches)
        if case.endswith("mixcut"):
            images, labels = mixcut(images, labels)
        count += len(images)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    answer_request("images_per_second", measure, torch="torch", pillow="PIL")
