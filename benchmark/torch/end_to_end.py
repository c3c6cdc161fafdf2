"""The PyTorch contenders of `benchmark.end_to_end`. Needs torch and numpy only.

python -m benchmark.torch.end_to_end REQUEST: REQUEST is JSON, the arguments of `measure`. Prints
the images per second and the version of torch. This is typical PyTorch code: a Dataset that crops
and flips, a DataLoader with one worker per core, and the two-step closure.
"""

import os
import pathlib
import pickle
import random
import time

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmark.subprocess_case import answer_request
from benchmark.torch.steps import Contender, Trainer


class Cifar(Dataset):
    def __init__(self, folder):
        files = [pickle.loads(path.read_bytes()) for path in sorted(folder.glob("data_batch_*"))]
        images = np.concatenate([file[b"data"] for file in files]).reshape(-1, 3, 32, 32)
        self.images = torch.from_numpy(images)
        self.labels = [label for file in files for label in file[b"labels"]]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index].float().div_(255).sub_(0.5).div_(0.25)
        if random.random() < 0.5:
            image = image.flip(-1)
        top, left = random.randint(0, 8), random.randint(0, 8)
        return F.pad(image, (4, 4, 4, 4))[:, top : top + 32, left : left + 32], self.labels[index]


def measure(*, function, **request):
    """Returns the images per second of one of the functions below."""
    return {"closure": closure, "bare_step": bare_step}[function](**request)


def closure(*, data, model, dtype, batch_size, epochs, **_):
    """Trains; returns the images per second of all epochs but the first."""
    loader = DataLoader(
        Cifar(pathlib.Path(data) / "cifar-10-batches-py"),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count(),
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )
    trainer = Trainer(model, image_size=32, penalized=True, dtype=dtype)
    for epoch in range(epochs):
        if epoch == 1:
            trainer.wait()
            start = time.perf_counter()
        for batch in loader:
            trainer.step(*trainer.send(*batch))
    trainer.wait()
    return (epochs - 1) * len(loader) * batch_size / (time.perf_counter() - start)


def bare_step(*, model, dtype, batch_size, images, epochs, **_):
    """Repeats the closure on one batch, as often as in training."""
    steps = (epochs - 1) * (images // batch_size)
    contender = Contender(batch_size, 32, model=model, penalized=True, dtype=dtype)
    return steps * batch_size / contender(steps)


if __name__ == "__main__":
    answer_request("images_per_second", measure, torch="torch")
