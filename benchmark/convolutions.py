"""Speed of single convolutions in XLA and in PyTorch.

python -m benchmark.convolutions [--cases=128x32x16,32x8x256] [--dtype=float32] [--rounds=3]
    [--seconds=0.5] [--torch_python=PYTHON]

Prints one JSON object per case (images x height or width x channels): 10⁹ operations per second of
a 3x3 convolution with "same" padding. It times the forward pass, the gradients of the input and of
the weights, and the latter inside an XLA loop. Figures are median, minimum and maximum over the
rounds, each in a fresh process. PYTHON is an interpreter with torch, if not this one. A contender
that fails is dropped, and standard error says why.

  gnp        XLA with the settings of this project's commands
  xla        XLA with its default settings
  pytorch    PyTorch, channels last
"""

import argparse
import functools
import json
import sys
from collections.abc import Sequence

from benchmark import options, timing
from benchmark.subprocess_case import describe_machine, rates_in_rounds, run_case

# From WideResNet_10_1 with 128 images, and WideResNet_16_4 and ResNet18 with 32; the last case is
# from ResNet18 only.
CASES = "128x32x16,128x16x32,128x8x64,32x32x64,32x16x128,32x8x256,32x4x512"


def main() -> None:
    """Measures each case."""
    arguments = parse_arguments()
    machine = describe_machine()
    for case in arguments.cases.split(","):
        print(json.dumps(measure(case, arguments) | machine), flush=True)


def measure(case: str, arguments) -> dict:
    """Returns the rates of all contenders, and the versions of packages."""
    request = {"case": case, "dtype": arguments.dtype, "seconds": arguments.seconds}
    in_jax = functools.partial(run_case, sys.executable, "benchmark.jax.convolutions", **request)
    in_torch = functools.partial(run_case, arguments.torch_python, "benchmark.torch.convolutions")
    contenders = {
        "gnp": functools.partial(in_jax, default_settings=False),
        "xla": functools.partial(in_jax, default_settings=True),
        "pytorch": functools.partial(in_torch, **request),
    }
    rates, versions = rates_in_rounds(contenders, rounds=arguments.rounds, rate="gflops")
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
    """Returns images, height, channels, and 10⁹ operations of one convolution."""
    images, side, channels = map(int, case.split("x"))
    return images, side, channels, 2e-9 * images * side**2 * (3 * channels) ** 2


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("convolutions", __doc__)
    parser.add_argument("--cases", default=CASES)
    options.add_dtype(parser)
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes of each contender")
    parser.add_argument("--seconds", type=float, default=0.5, help="per direction")
    options.add_torch_python(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
