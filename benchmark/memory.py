"""Memory of the compiled training step, standard and penalized.

python -m benchmark.memory [--models=A,B] [--batch_size=8]

Prints one JSON object per model, sizes in MB (1e6 bytes). Nothing runs: the compiler reports the
temporary memory of each step. `extra_gradients` is the memory that the penalty adds, in multiples
of the size of the parameters. It includes activations, which grow with the batch size.
"""

import argparse
import json
from collections.abc import Sequence

import jax

from benchmark import machine, options
from benchmark.jax import steps
from gnp.main.start import xla

_MODELS = ("WideResNet_16_4", "ResNet18", "ViT_TI16")


def main() -> None:
    """Measures each model."""
    xla.use_all_cores()
    arguments = parse_arguments()
    machine.require_one_device(jax.device_count())
    for name in arguments.models.split(","):
        print(json.dumps(measure(name, arguments.batch_size)), flush=True)
        jax.clear_caches()


def measure(name: str, batch_size: int) -> dict:
    """Returns the sizes of one model's steps."""
    model = steps.build_model(name)
    batch = steps.make_batch(batch_size, 32)
    candidates = {
        "standard": steps.our_step(model, batch, penalized=False),
        "penalized": steps.our_step(model, batch, penalized=True),
        "floor_standard": steps.step_by_hand(model, batch, penalized=False),
        "floor_penalized": steps.step_by_hand(model, batch, penalized=True),
    }
    held = {step_type: _bytes_held(*step) for step_type, step in candidates.items()}
    _, state, *_ = candidates["standard"]
    parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    return {
        "model": name,
        "batch_size": batch_size,
        "parameters_mb": round(parameters / 1e6, 2),
        **{f"{step_type}_mb": round(size / 1e6, 2) for step_type, size in held.items()},
        "extra_gradients": round((held["penalized"] - held["standard"]) / parameters, 2),
        "floor_extra_gradients": round(
            (held["floor_penalized"] - held["floor_standard"]) / parameters, 2
        ),
        **machine.describe(),
    }


def _bytes_held(step, *arguments):
    return step.lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("memory", __doc__)
    parser.add_argument("--models", default=",".join(_MODELS))
    parser.add_argument("--batch_size", type=int, default=8)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
