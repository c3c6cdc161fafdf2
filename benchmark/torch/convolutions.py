"""The PyTorch side of `benchmark.convolutions`. Needs torch only.

python -m benchmark.torch.convolutions REQUEST: REQUEST is JSON, the arguments of `measure`.
"""

import torch

from benchmark.convolutions import dimensions
from benchmark.subprocess_case import answer_request
from benchmark.timing import rate


def measure(case: str, dtype: str, seconds: float) -> dict:
    """Returns 10⁹ operations per second of each direction."""
    images, side, channels, operations = dimensions(case)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # The fastest algorithm of cuDNN, as in XLA; both compute float32 in TF32.
    torch.backends.cudnn.benchmark = True
    options = {"device": device, "dtype": getattr(torch, dtype)}
    last = {"memory_format": torch.channels_last}
    x, gradient = (
        torch.randn(images, channels, side, side, **options).to(**last) for _ in range(2)
    )
    w = torch.randn(channels, channels, 3, 3, **options).to(**last)

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
    answer_request("gflops", measure, torch="torch")
