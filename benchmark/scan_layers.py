"""Time to trace and to compile the training step of deep transformers, unrolled and scanned.

python -m benchmark.scan_layers

Prints one JSON object per model and kind of step, times in CPU seconds. The models have their full
depth and small widths: the time depends on the number of operations, hardly on their size.
"""

import json
import time

import jax

from benchmark import timing
from benchmark.contenders import make_batch, our_step
from gnp.model import create_model

CASES = {
    "CaiT_M48": {"embed_dim": 32, "num_heads": 4, "drop_path": 0.1, "dropout_rate": 0.1},
    "ViT_L16": {"hidden_size": 32, "transformer": {"mlp_dim": 64, "num_heads": 4}},
}


def main() -> None:
    """Measures each case, unrolled and scanned."""
    jax.config.update("jax_enable_compilation_cache", False)
    for name in CASES:
        for penalized in (False, True):
            unrolled = seconds(name, penalized=penalized, scan_layers=False)
            scanned = seconds(name, penalized=penalized, scan_layers=True)
            figures = {
                "model": name,
                "step": "penalized" if penalized else "standard",
                "unrolled": unrolled,
                "scanned": scanned,
                "ratio": round(sum(unrolled.values()) / sum(scanned.values()), 2),
            }
            print(json.dumps(figures | timing.machine()), flush=True)


def seconds(name: str, *, penalized: bool, scan_layers: bool) -> dict[str, float]:
    """CPU time of tracing and of compiling the training step of one of the cases."""
    model = create_model(name, 10, **CASES[name], scan_layers=scan_layers)
    step, *arguments = our_step(model, make_batch(2, 32), penalized=penalized)
    start = time.process_time()
    lowered = step.lower(*arguments)
    traced = time.process_time()
    lowered.compile()
    compiled = time.process_time()
    jax.clear_caches()
    return {"trace": round(traced - start, 2), "compile": round(compiled - traced, 2)}


if __name__ == "__main__":
    main()
