"""Training in plain PyTorch from CIFAR-10's files, for comparison. Needs torch and numpy alone.

python -m benchmark.torch_end_to_end FOLDER MODEL BATCH_SIZE EPOCHS: prints images per second
without the first epoch. Written as its users write it: a Dataset that crops and flips, a DataLoader
with one worker per core, the two-step closure.
"""

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

from benchmark.torch_steps import Contender


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


def measure(folder, model, batch_size, epochs):
    """Images per second of all epochs but the first."""
    loader = DataLoader(
        Cifar(folder / "cifar-10-batches-py"),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count(),
        persistent_workers=True,
    )
    request = {"model": model, "batch_size": batch_size, "image_size": 32, "penalized": True}
    training = Contender({**request, "compiled": False, "dtype": "float32"})
    for epoch in range(epochs):
        if epoch == 1:
            start = time.perf_counter()
        for images, labels in loader:
            training.images = images.to(training.device, memory_format=torch.channels_last)
            training.labels = labels.to(training.device)
            training.step()
    if training.device.type == "cuda":
        torch.cuda.synchronize()
    return (epochs - 1) * len(loader) * batch_size / (time.perf_counter() - start)


if __name__ == "__main__":
    folder, model, batch_size, epochs = sys.argv[1:]
    print(measure(pathlib.Path(folder), model, int(batch_size), int(epochs)))
