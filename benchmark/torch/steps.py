"""One training step in PyTorch with the two-step closure, in typical code. Needs torch only.

Reads requests from standard input and answers each with a line of JSON:
{"prepare": NAME, "model": M, "batch_size": B, "image_size": S, "penalized": P, "compiled": C,
 "dtype": D} creates a contender and warms it up. {"run": NAME, "steps": N} times it. {} deletes all
contenders and returns the version of torch.
"""

import contextlib
import gc
import json
import sys
import time

import torch
from torch.nn import functional as F

from benchmark.torch.models import MODELS

L2 = 5e-4
LEARNING_RATE = 0.01
MOMENTUM = 0.9
CLIPPING = 5.0
RADIUS = 0.1


class TwoStep:
    """Sharpness-aware minimization: an ascent step, then the optimizer step from the start."""

    def __init__(self, params, optimizer, radius):
        self.params, self.optimizer, self.radius = list(params), optimizer, radius
        self.moves = []

    @torch.no_grad()
    def ascend(self):
        gradients = [p.grad for p in self.params]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        self.moves = torch._foreach_mul(gradients, self.radius / (norm + 1e-12))
        torch._foreach_add_(self.params, self.moves)
        self.optimizer.zero_grad()

    @torch.no_grad()
    def descend(self):
        torch._foreach_sub_(self.params, self.moves)
        torch.nn.utils.clip_grad_norm_(self.params, CLIPPING)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Trainer:
    """A model and its optimizer.

    Args:
      model: a name in `MODELS`.
      image_size: height and width in pixels.
      penalized: take an ascent step first.
      compiled: use torch.compile.
      dtype: "float32", or "bfloat16" by autocast.
    """

    def __init__(self, model, image_size, penalized, compiled=False, dtype="float32"):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cuda":
            # As in JAX: float32 products in TF32, and the fastest algorithm of cuDNN.
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = True
        self.model = MODELS[model](image_size).to(self.device).train()
        self.model = self.model.to(memory_format=torch.channels_last)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.norms = [m for m in self.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        self.params, self.penalized = list(self.model.parameters()), penalized
        self.optimizer = torch.optim.SGD(self.params, LEARNING_RATE, MOMENTUM, weight_decay=L2)
        self.two_step = TwoStep(self.params, self.optimizer, RADIUS)
        self.precision = contextlib.nullcontext
        if dtype == "bfloat16":
            self.precision = lambda: torch.autocast(self.device.type, torch.bfloat16)

    def send(self, images, labels):
        """Copies a batch to the device, asynchronously to a GPU."""
        images = images.to(self.device, memory_format=torch.channels_last, non_blocking=True)
        return images, labels.to(self.device, non_blocking=True)

    def step(self, images, labels):
        self.closure(images, labels)
        if self.penalized:
            self.two_step.ascend()
            self.set_momentum_of_statistics(0.0)  # keep those of the first pass
            self.closure(images, labels)
            self.set_momentum_of_statistics(0.1)
            self.two_step.descend()
        else:
            torch.nn.utils.clip_grad_norm_(self.params, CLIPPING)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def closure(self, images, labels):
        with self.precision():
            loss = F.cross_entropy(self.forward(images), labels)
        loss.backward()

    def set_momentum_of_statistics(self, momentum):
        for norm in self.norms:
            norm.momentum = momentum

    def wait(self):
        """Waits until the device is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Contender:
    """A trainer, warmed up, and the batch that it trains on."""

    def __init__(self, batch_size, image_size, **how):
        self.trainer = Trainer(image_size=image_size, **how)
        images = torch.randn(batch_size, 3, image_size, image_size)
        self.batch = self.trainer.send(images, torch.randint(0, 10, (batch_size,)))
        self(2)

    def __call__(self, steps):
        """Takes a number of steps; returns their seconds."""
        start = time.perf_counter()
        for _ in range(steps):
            self.trainer.step(*self.batch)
        self.trainer.wait()
        return time.perf_counter() - start


def main():
    contenders = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                name = request.pop("prepare")
                contender = contenders[name] = Contender(**request)
                answer = {"parameters": sum(p.numel() for p in contender.trainer.params)}
            elif "run" in request:
                answer = {"seconds": contenders[request["run"]](request["steps"])}
            else:
                contenders.clear()
                gc.collect()
                torch.cuda.empty_cache()  # JAX needs the memory
                answer = {"torch": torch.__version__}
        except Exception as error:  # a missing compiler, for example
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
