"""Memory of the compiled training step, penalized against standard.

python -m benchmark.memory [--models=A,B] [--batch_size=8]

Prints one JSON object per model, sizes in MB (1e6 bytes). Nothing runs: the compiler says how much
each step holds beside its arguments. `extra_gradients` is what the penalty adds to it, counted in
trees of the size of the parameters. Activations count too: the fewer images, the less.
"""

import argparse
import json

import jax

from benchmark import contenders, machine
from gnp.main import xla

_MODELS = ("WideResNet_16_4", "ResNet18", "ViT_TI16")


def main() -> None:
    """Measures each model."""
    xla.use_all_cores()
    parser = argparse.ArgumentParser(prog="python -m benchmark.memory")
    parser.add_argument("--models", default=",".join(_MODELS))
    parser.add_argument("--batch_size", type=int, default=8)
    arguments = parser.parse_args()
    machine.require_one_device(jax.device_count())
    for name in arguments.models.split(","):
        print(json.dumps(measure(name, arguments.batch_size)), flush=True)
        jax.clear_caches()


def measure(name: str, batch_size: int) -> dict:
    """Sizes of one model's steps."""
    model = contenders.build_model(name)
    batch = contenders.make_batch(batch_size, 32)
    steps = {
        "standard": contenders.our_step(model, batch, penalized=False),
        "penalized": contenders.our_step(model, batch, penalized=True),
        "floor_standard": contenders.step_by_hand(model, batch, penalized=False),
        "floor_penalized": contenders.step_by_hand(model, batch, penalized=True),
    }
    held = {kind: _bytes_held(*step) for kind, step in steps.items()}
    _, state, *_ = steps["standard"]
    parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    return {
        "model": name,
        "batch_size": batch_size,
        "parameters_mb": round(parameters / 1e6, 2),
        **{f"{kind}_mb": round(size / 1e6, 2) for kind, size in held.items()},
        "extra_gradients": round((held["penalized"] - held["standard"]) / parameters, 2),
        "floor_extra_gradients": round(
            (held["floor_penalized"] - held["floor_standard"]) / parameters, 2
        ),
        **machine.describe(),
    }


def _bytes_held(step, *arguments):
    return step.lower(*arguments).compile().memory_analysis().temp_size_in_bytes


if __name__ == "__main__":
    main()
