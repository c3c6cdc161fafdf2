"""Time to trace and to compile the training gradient of deep transformers, unrolled and scanned.

python -m benchmark.scan_layers

Prints one JSON object per model, times in CPU seconds. The models have their full depth and small
widths: the time depends on the number of operations, hardly on their size.
"""

import functools
import json
import time

import jax
import jax.numpy as jnp

from gnp.model import create_model

CASES = {
    "CaiT_M48": {"embed_dim": 32, "num_heads": 4, "drop_path": 0.1, "dropout_rate": 0.1},
    "ViT_L16": {"hidden_size": 32, "transformer": {"mlp_dim": 64, "num_heads": 4}},
}


def seconds(model) -> dict[str, float]:
    """CPU time of tracing and of compiling the gradient of a model in training."""
    images = jnp.zeros((2, 32, 32, 3))
    key = jax.random.key(0)
    variables = jax.eval_shape(functools.partial(model.init, train=False), key, images)

    def loss(variables, images, key):
        logits = model.apply(variables, images, train=True, rngs={"dropout": key, "drop_path": key})
        return jnp.sum(logits**2)

    start = time.process_time()
    lowered = jax.jit(jax.grad(loss)).lower(variables, images, key)
    traced = time.process_time()
    lowered.compile()
    compiled = time.process_time()
    return {"trace": round(traced - start, 2), "compile": round(compiled - traced, 2)}


def main() -> None:
    """Measures each case, unrolled and scanned."""
    jax.config.update("jax_enable_compilation_cache", False)
    for name, fields in CASES.items():
        create = functools.partial(create_model, name, 10, **fields)
        unrolled, scanned = seconds(create()), seconds(create(scan_layers=True))
        ratio = round(sum(unrolled.values()) / sum(scanned.values()), 2)
        print(json.dumps({"case": name, "unrolled": unrolled, "scanned": scanned, "ratio": ratio}))


if __name__ == "__main__":
    main()
