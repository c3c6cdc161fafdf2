"""Time to trace and compile the training step of deep transformers, unrolled and scanned.

python -m benchmark.scan_layers [--models=CaiT_M48,ViT_L16,CaiT_XXS12,ViT_S16] [--rounds=3]

Prints one JSON object per model and step type: CPU seconds of tracing, of compiling and of both,
median, minimum and maximum over the rounds, and the ratio of both together. The models have their
full depth but a small width: the time depends on the number of operations, hardly on their size.
"""

import argparse
import json
import time
from collections.abc import Sequence

import jax

from benchmark import machine, options, timing
from benchmark.jax.steps import make_batch, our_step
from gnp.main.start import xla
from gnp.model import create_model

CASES = {
    "CaiT_M48": {"embed_dim": 32, "num_heads": 4, "drop_path": 0.1, "dropout_rate": 0.1},
    "ViT_L16": {"hidden_size": 32, "transformer": {"mlp_dim": 64, "num_heads": 4}},
    "CaiT_XXS12": {"embed_dim": 32, "num_heads": 4, "drop_path": 0.1, "dropout_rate": 0.1},
    "ViT_S16": {"hidden_size": 32, "transformer": {"mlp_dim": 64, "num_heads": 4}},
}


def main() -> None:
    """Measures each case, unrolled and scanned."""
    xla.use_all_cores()
    jax.config.update("jax_enable_compilation_cache", False)
    arguments = parse_arguments()
    machine.require_one_device(jax.device_count())
    for name in arguments.models:
        for penalized in (False, True):
            figures = measure(name, penalized=penalized, rounds=arguments.rounds)
            print(json.dumps(figures | machine.describe()), flush=True)


def measure(name: str, *, penalized: bool, rounds: int) -> dict:
    """Returns the times of one model and step type."""
    modes = {"unrolled": False, "scanned": True}
    times = {mode: {"trace": [], "compile": []} for mode in modes}
    for _ in range(rounds):
        for mode, scan_layers in modes.items():
            trace, compilation = seconds(name, penalized=penalized, scan_layers=scan_layers)
            times[mode]["trace"].append(trace)
            times[mode]["compile"].append(compilation)
    both = {
        mode: list(map(sum, zip(*found.values(), strict=True))) for mode, found in times.items()
    }
    return {
        "model": name,
        "step": "penalized" if penalized else "standard",
        "rounds": rounds,
        **{
            mode: {part: timing.spread(values, "s", digits=2) for part, values in found.items()}
            | timing.spread(both[mode], "s", digits=2)
            for mode, found in times.items()
        },
        "unrolled/scanned": timing.ratio(both["unrolled"], both["scanned"]),
    }


def seconds(name: str, *, penalized: bool, scan_layers: bool) -> tuple[float, float]:
    """Returns the CPU time of tracing and of compiling the training step of one model."""
    model = create_model(name, 10, **CASES[name], scan_layers=scan_layers)
    step, *arguments = our_step(model, make_batch(2, 32), penalized=penalized)
    start = time.process_time()
    lowered = step.lower(*arguments)
    traced = time.process_time()
    lowered.compile()
    compiled = time.process_time()
    jax.clear_caches()
    return traced - start, compiled - traced


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("scan_layers", __doc__)
    parser.add_argument("--models", type=options.names(CASES), default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3, help="runs of each model and step type")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
