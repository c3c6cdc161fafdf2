"""One training step in PyTorch, as users of the two-step closure write it. Needs torch alone.

Reads requests from standard input and answers each with a line of JSON:
{"prepare": NAME, "model": M, "batch_size": B, "image_size": S, "penalized": P, "compiled": C,
 "dtype": D} makes a contender and warms it up; {"run": NAME, "steps": N} times it.
"""

import contextlib
import json
import sys
import time

import torch
from torch.nn import functional as F

from benchmark.torch_models import MODELS

L2 = 5e-4
LEARNING_RATE = 0.01
MOMENTUM = 0.9
CLIPPING = 5.0
RADIUS = 0.1


class TwoStep:
    """Sharpness-aware minimization around another optimizer: climb, then descend from the start."""

    def __init__(self, params, optimizer, radius):
        self.params, self.optimizer, self.radius = list(params), optimizer, radius
        self.moves = []

    @torch.no_grad()
    def climb(self):
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


class Contender:
    def __init__(self, request):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        side, batch_size = request["image_size"], request["batch_size"]
        self.model = MODELS[request["model"]](side).to(self.device).train()
        self.model = self.model.to(memory_format=torch.channels_last)
        self.num_parameters = sum(p.numel() for p in self.model.parameters())
        images = torch.randn(batch_size, 3, side, side, device=self.device)
        self.images = images.to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 10, (batch_size,), device=self.device)
        self.norms = [m for m in self.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        params = list(self.model.parameters())
        self.optimizer = torch.optim.SGD(params, LEARNING_RATE, MOMENTUM, weight_decay=L2)
        self.two_step = TwoStep(params, self.optimizer, RADIUS)
        self.params, self.penalized = params, request["penalized"]
        self.forward = torch.compile(self.model) if request["compiled"] else self.model
        self.precision = contextlib.nullcontext
        if request["dtype"] == "bfloat16":
            self.precision = lambda: torch.autocast(self.device.type, torch.bfloat16)

    def __call__(self, steps):
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def step(self):
        self.closure()
        if self.penalized:
            self.two_step.climb()
            self.keep_statistics(True)
            self.closure()
            self.keep_statistics(False)
            self.two_step.descend()
        else:
            torch.nn.utils.clip_grad_norm_(self.params, CLIPPING)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def closure(self):
        with self.precision():
            loss = F.cross_entropy(self.forward(self.images), self.labels)
        loss.backward()

    def keep_statistics(self, kept):
        """The second pass must not change the running statistics."""
        for norm in self.norms:
            norm.momentum = 0.0 if kept else 0.1


def main():
    contenders = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                contender = contenders[request["prepare"]] = Contender(request)
                contender(2)
                answer = {"parameters": contender.num_parameters, "torch": torch.__version__}
            elif "run" in request:
                answer = {"seconds": contenders[request["run"]](request["steps"])}
            else:
                contenders.clear()
                answer = {}
        except Exception as error:  # what a compiler lacks, say: that contender has no figure
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
