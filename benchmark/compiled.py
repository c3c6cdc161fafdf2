"""What a compiler makes of the training step for an accelerator that is not at hand.

python -m benchmark.compiled [--target=v5e] [--models=A,B] [--batch_size=256] [--dtype=bfloat16]

Prints one JSON object per model. Nothing runs, so nothing is timed. Tells for standard and
penalized steps what they hold beside their arguments (MB, 1e6 bytes), what share of their results
lies where the old state was, and what the devices tell each other. `extra_gradients` is what the
penalty holds more, counted in trees of the size of the parameters.

For TPUs the compiler also estimates the cycles of each operation. Their sum gives `estimated_ms`
and, with the model's own operations, `estimated_utilization`. Real steps wait for memory and for
each other in ways that no estimate knows, so compare such figures among themselves alone.

  v5e   four chips of TPU v5e; needs the package libtpu
  h100  one NVIDIA H100; needs jax[cuda12]. No kernel is tuned, as that takes the device.

The batch is that of one device.
"""

import argparse
import functools
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmark import machine
from benchmark.contenders import (
    build_model,
    image_side,
    make_batch,
    map_by_shard_map,
    our_step,
)
from benchmark.scaling import collectives
from gnp.model import size
from gnp.training import parallel
from gnp.training.peak_flops import peak_flops
from gnp.training.throughput import train_flops

_MODELS = ("ViT_S16", "WideResNet_28_10", "ResNet50", "Swin_Tiny_224")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')

# What the compiler for GPUs wants to know of the device, in its own words.
_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84942979072
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


class Target(NamedTuple):
    """What to compile for.

    Attributes:
      topology: arguments of `topologies.get_topology_desc`.
      options: of the compiler.
      cycles_per_second: of the device, where the compiler estimates cycles.
    """

    topology: dict
    options: dict
    cycles_per_second: float | None = None


_TARGETS = {
    "v5e": Target({"platform": "tpu", "topology_name": "v5e:2x2"}, {}, 1.5e9),
    "h100": Target(
        {
            "platform": "cuda",
            "topology_name": "h100",
            "topology": "1x1x1",
            "target_config": _H100,
        },
        {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False},
    ),
}


def main() -> None:
    """Compiles the steps of each model."""
    arguments = _parse_arguments()
    jax.config.update("jax_platforms", "cpu")  # where models are created
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no TPU is asked what it is
    target = _TARGETS[arguments.target]
    try:
        devices = topologies.get_topology_desc(**target.topology).devices
    except (NotImplementedError, RuntimeError) as error:
        sys.exit(f"Cannot compile for {arguments.target}, see --help for what it needs: {error}")
    for name in arguments.models.split(","):
        figures = examine(name, devices, target, arguments.batch_size, arguments.dtype)
        print(json.dumps(figures), flush=True)
        jax.clear_caches()


def examine(name: str, devices: Sequence, target: Target, batch_size: int, dtype: str) -> dict:
    """Figures of one model's steps, compiled for these devices."""
    side = image_side(name)
    model, batch = build_model(name, dtype), make_batch(batch_size, side)
    model_size = size.measure(model, (side, side, 3))
    steps = {}
    for kind, passes in (("standard", 1), ("penalized", 2)):
        compiled = _compile(model, batch, devices, target.options, penalized=passes == 2)
        steps[kind] = _figures(compiled, model_size.parameters)
        if target.cycles_per_second:
            operations = batch_size * train_flops(2 * model_size.multiply_adds, passes)
            least = operations / peak_flops(devices[0].device_kind)
            steps[kind] |= _estimates(compiled.as_text(), target.cycles_per_second, least)
    held = steps["penalized"]["held_mb"] - steps["standard"]["held_mb"]
    return {
        "model": name,
        "image_size": side,
        "batch_size": batch_size,
        "dtype": dtype,
        **steps,
        "extra_gradients": round(1e6 * held / (4 * model_size.parameters), 2),
        **machine.describe(),
        "device": f"{len(devices)} x {devices[0].device_kind}, compiled for",
    }


def _compile(model, batch, devices, options, *, penalized):
    mesh = Mesh(np.array(devices), (parallel.AXIS,))
    step, state, *_ = our_step(
        model,
        batch,
        penalized=penalized,
        map_step=functools.partial(map_by_shard_map, mesh=mesh),
    )

    def on_devices(x, spec, *axes):
        sharding = NamedSharding(mesh, spec)
        return jax.ShapeDtypeStruct((*axes, *x.shape), x.dtype, sharding=sharding)

    state = jax.tree.map(lambda x: on_devices(x, PartitionSpec()), state)
    batch = jax.tree.map(lambda x: on_devices(x, PartitionSpec(parallel.AXIS), len(devices)), batch)
    return step.lower(state, None, batch).compile(compiler_options=options)


def _figures(compiled, num_parameters):
    memory = compiled.memory_analysis()
    return {
        "held_mb": round(memory.temp_size_in_bytes / 1e6, 1),
        "in_place": round(memory.alias_size_in_bytes / memory.output_size_in_bytes, 3),
        "collectives": [
            {"kind": kind, "parameters": round(moved / num_parameters, 2)}
            for kind, moved in collectives(compiled.as_text())
        ],
    }


def _estimates(program, cycles_per_second, least_seconds):
    """What the compiler expects, beside the time that the model's own operations take at best."""
    seconds = sum(map(int, _CYCLES.findall(program))) / cycles_per_second
    return {
        "estimated_ms": round(1e3 * seconds, 2),
        "estimated_utilization": round(least_seconds / seconds, 3),
    }


def _parse_arguments():
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.compiled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", choices=sorted(_TARGETS), default="v5e")
    parser.add_argument("--models", default=",".join(_MODELS))
    parser.add_argument("--batch_size", type=int, default=256, help="of one device")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    return parser.parse_args()


if __name__ == "__main__":
    main()
