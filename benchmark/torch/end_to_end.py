"""The contenders of `benchmark.end_to_end` in plain PyTorch. Needs torch and numpy alone.

python -m benchmark.torch.end_to_end REQUEST: REQUEST is JSON, `way` and the arguments of the
function of this name. Prints its images per second and torch's version. Written as its users write
it: a Dataset that crops and flips, a DataLoader with one worker per core, the two-step closure.
"""

import json
import os
import pathlib
import pickle
import random
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

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


def closure(*, data, model, dtype, batch_size, epochs, **_):
    """Training; images per second of all epochs but the first."""
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
    """The closure as often as in training, on one batch that is there."""
    steps = (epochs - 1) * (images // batch_size)
    contender = Contender(batch_size, 32, model=model, penalized=True, dtype=dtype)
    return steps * batch_size / contender(steps)


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    rate = {"closure": closure, "bare_step": bare_step}[request.pop("way")](**request)
    print(json.dumps({"images_per_second": rate, "torch": torch.__version__}))
