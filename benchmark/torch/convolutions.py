"""PyTorch's side of `benchmark.convolutions`; needs torch alone.

REQUEST is JSON, the arguments of `measure`.
"""

import json
import sys

import torch

from benchmark.convolutions import dimensions
from benchmark.timing import rate


def measure(case: str, dtype: str, seconds: float) -> dict:
    """10⁹ operations per second by direction."""
    images, side, channels, operations = dimensions(case)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # As XLA computes float32 on a GPU, and with the fastest of cuDNN's algorithms.
    torch.backends.cudnn.benchmark = True
    kind = {"device": device, "dtype": getattr(torch, dtype)}
    last = {"memory_format": torch.channels_last}
    x, gradient = (torch.randn(images, channels, side, side, **kind).to(**last) for _ in range(2))
    w = torch.randn(channels, channels, 3, 3, **kind).to(**last)

    def gradients(of_input, of_weights):
        return torch.ops.aten.convolution_backward(
            *(gradient, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
            (of_input, of_weights, False),
        )

    def rate_of(function):
        def run():
            function()
            if device == "cuda":
                torch.cuda.synchronize()

        return operations * rate(run, seconds)

    return {
        "forward": rate_of(lambda: torch.nn.functional.conv2d(x, w, padding=1)),
        "input_gradient": rate_of(lambda: gradients(True, False)),
        "weight_gradient": rate_of(lambda: gradients(False, True)),
    }


if __name__ == "__main__":
    answer = {"gflops": measure(**json.loads(sys.argv[1])), "torch": torch.__version__}
    print(json.dumps(answer))
