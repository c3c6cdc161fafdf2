"""Speed of attention: this project's two products against the kernels that JAX can call.

python -m benchmark.attention [--cases=256x65x6x64,...] [--dtype=bfloat16] [--rounds=5]
    [--seconds=0.5]

Prints one JSON object per case (images x tokens x heads x depth): milliseconds of a forward and
backward pass, median, minimum and maximum over the rounds. A contender that cannot run here is
dropped, and standard error says why.

  products   the two products and the softmax of `gnp.model.transformer_layers.attend`
  xla        jax.nn.dot_product_attention without a kernel
  cudnn      the same by cuDNN's fused kernel; NVIDIA GPUs and bfloat16 only
"""

import argparse
import functools
import json
import sys
from collections.abc import Sequence

import jax

from benchmark import machine, options, timing
from benchmark.subprocess_case import error_line
from benchmark.timing import rate
from gnp.model.transformer_layers import attend

# ViT_S16 and ViT_B16 on 32x32 and 224x224 images, and longer sequences.
CASES = "256x65x6x64,256x65x12x64,64x197x6x64,64x197x12x64,16x1025x12x64"
_CONTENDERS = {
    "products": attend,
    "xla": functools.partial(jax.nn.dot_product_attention, implementation="xla"),
    "cudnn": functools.partial(jax.nn.dot_product_attention, implementation="cudnn"),
}


def main() -> None:
    """Measures each case."""
    arguments = parse_arguments()
    for case in arguments.cases.split(","):
        print(json.dumps(measure(case, arguments) | machine.describe()), flush=True)


def measure(case: str, arguments: argparse.Namespace) -> dict:
    """Returns the times of all contenders that can run here."""
    shape = tuple(map(int, case.split("x")))
    inputs = [
        jax.random.normal(key, shape, arguments.dtype)
        for key in jax.random.split(jax.random.key(0), 3)
    ]
    times = {}
    for name, attention in _CONTENDERS.items():
        step = jax.jit(jax.grad(lambda *inputs, f=attention: f(*inputs).sum(), (0, 1, 2)))
        try:
            jax.block_until_ready(step(*inputs))
        except (jax.errors.JaxRuntimeError, RuntimeError, ValueError) as error:
            print(f"No figure of {name}: {error_line(str(error)) or error}", file=sys.stderr)
            continue
        times[name] = [
            1 / rate(lambda step=step: jax.block_until_ready(step(*inputs)), arguments.seconds)
            for _ in range(arguments.rounds)
        ]
    figures = {name: timing.summary(seconds) for name, seconds in times.items()}
    return {"case": case, "dtype": arguments.dtype, "rounds": arguments.rounds, **figures}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("attention", __doc__)
    parser.add_argument("--cases", default=CASES)
    options.add_dtype(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
