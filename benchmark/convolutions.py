"""Speed of single convolutions in XLA and in PyTorch: what models of convolutions are made of.

python -m benchmark.convolutions [--cases=128x32x16,32x8x256] [--dtype=float32] [--rounds=3]
    [--seconds=0.5] [--torch_python=PYTHON]

Prints one JSON object per case, which is images x pixels on a side x channels: 10⁹ operations per
second of a 3x3 convolution that keeps its shape, forward, as gradient of its input and of its
weights, and the latter within a loop of XLA's, median and spread over so many rounds, each in a
fresh process. PYTHON is one that has torch, if it is not this one; a contender that cannot run is
left out, and standard error says why.

  gnp        XLA with the settings of this project's commands
  xla        XLA as it comes
  pytorch    PyTorch, channels last
"""

import argparse
import functools
import json
import sys

from benchmark import timing
from benchmark.child import ask, rates_in_turns

# WideResNet_10_1 on 128 images; WideResNet_16_4 and ResNet18 on 32; the last of ResNet18 alone.
CASES = "128x32x16,128x16x32,128x8x64,32x32x64,32x16x128,32x8x256,32x4x512"


def main() -> None:
    """Measures each case."""
    arguments = _parse_arguments()
    # This process must not take the accelerator from those that it starts.
    machine = ask(sys.executable, "benchmark.machine")
    for case in arguments.cases.split(","):
        print(json.dumps(measure(case, arguments) | machine), flush=True)


def measure(case: str, arguments) -> dict:
    """Rates of all contenders, and the versions of what they use."""
    request = {"case": case, "dtype": arguments.dtype, "seconds": arguments.seconds}
    ours = functools.partial(ask, sys.executable, "benchmark.convolutions_jax", **request)
    theirs = functools.partial(ask, arguments.torch_python, "benchmark.torch.convolutions")
    contenders = {
        "gnp": functools.partial(ours, as_it_comes=False),
        "xla": functools.partial(ours, as_it_comes=True),
        "pytorch": functools.partial(theirs, **request),
    }
    rates, versions = rates_in_turns(contenders, rounds=arguments.rounds, rate="gflops")
    return {
        "case": case,
        "dtype": arguments.dtype,
        "rounds": arguments.rounds,
        **{
            name: {
                direction: timing.spread([rate[direction] for rate in found], "gflops")
                for direction in found[0]
            }
            for name, found in rates.items()
        },
        **versions,
    }


def dimensions(case: str) -> tuple[int, int, int, float]:
    """Images, pixels on a side, channels, and 10⁹ operations of one convolution."""
    images, side, channels = map(int, case.split("x"))
    return images, side, channels, 2e-9 * images * side**2 * (3 * channels) ** 2


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmark.convolutions")
    parser.add_argument("--cases", default=CASES)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes of each contender")
    parser.add_argument("--seconds", type=float, default=0.5, help="per direction")
    parser.add_argument("--torch_python", default=sys.executable, help="a Python that has torch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
