"""Time to trace and to compile the training step of deep transformers, unrolled and scanned.

python -m benchmark.scan_layers [--models=CaiT_M48,ViT_L16,CaiT_XXS12,ViT_S16] [--rounds=3]

Prints one JSON object per model and kind of step, times in CPU seconds, median and spread of so
many rounds; the ratio is of both together, whose times are given too. The models have their full
depth and small widths: the time depends on the number of operations, hardly on their size.
"""

import argparse
import json
import time

import jax

from benchmark import machine, timing
from benchmark.contenders import make_batch, our_step
from gnp.main import xla
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
    parser = argparse.ArgumentParser(prog="python -m benchmark.scan_layers")
    parser.add_argument("--models", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    arguments = parser.parse_args()
    machine.require_one_device(jax.device_count())
    for name in arguments.models.split(","):
        for penalized in (False, True):
            figures = measure(name, penalized=penalized, rounds=arguments.rounds)
            print(json.dumps(figures | machine.describe()), flush=True)


def measure(name: str, *, penalized: bool, rounds: int) -> dict:
    """Times of one model and kind of step."""
    ways = {"unrolled": False, "scanned": True}
    times = {way: {"trace": [], "compile": []} for way in ways}
    for _ in range(rounds):
        for way, scan_layers in ways.items():
            trace, compilation = seconds(name, penalized=penalized, scan_layers=scan_layers)
            times[way]["trace"].append(trace)
            times[way]["compile"].append(compilation)
    both = {way: list(map(sum, zip(*found.values(), strict=True))) for way, found in times.items()}
    return {
        "model": name,
        "step": "penalized" if penalized else "standard",
        "rounds": rounds,
        **{
            way: {part: timing.spread(values, "s", digits=2) for part, values in found.items()}
            | timing.spread(both[way], "s", digits=2)
            for way, found in times.items()
        },
        "unrolled/scanned": timing.ratio(both["unrolled"], both["scanned"]),
    }


def seconds(name: str, *, penalized: bool, scan_layers: bool) -> tuple[float, float]:
    """CPU time of tracing and of compiling the training step of one of the cases."""
    model = create_model(name, 10, **CASES[name], scan_layers=scan_layers)
    step, *arguments = our_step(model, make_batch(2, 32), penalized=penalized)
    start = time.process_time()
    lowered = step.lower(*arguments)
    traced = time.process_time()
    lowered.compile()
    compiled = time.process_time()
    jax.clear_caches()
    return traced - start, compiled - traced


if __name__ == "__main__":
    main()
