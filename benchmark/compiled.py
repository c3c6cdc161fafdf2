"""Compiles the training step for an accelerator that this machine need not have.

python -m benchmark.compiled [--target=v5e] [--models=A,B] [--batch_size=256] [--dtype=bfloat16]

Prints one JSON object per model. Nothing runs, so nothing is timed. For standard and penalized
steps, reports the temporary memory (MB, 1e6 bytes), the share of results that are updated in place,
and the collectives. `extra_gradients` is the additional memory of the penalty, in multiples of the
size of the parameters.

For TPUs the compiler also estimates the cycles of each operation. Their sum gives `estimated_ms`
and, with the operations of the model, `estimated_utilization`. The estimates ignore stalls, so
compare them only with each other.

  v5e   four chips of TPU v5e; needs the package libtpu
  h100  one NVIDIA H100; needs jax[cuda12]. Kernels are not autotuned, which needs the device.

--batch_size is the batch of one device.
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

from benchmark import machine, options
from benchmark.collectives import in_parameters
from benchmark.jax.steps import (
    build_model,
    image_side,
    make_batch,
    map_by_shard_map,
    our_step,
)
from gnp.model import size
from gnp.training import parallel
from gnp.training.monitoring.peak_flops import peak_flops
from gnp.training.monitoring.throughput import train_flops

_MODELS = ("ViT_S16", "WideResNet_28_10", "ResNet50", "Swin_Tiny_224")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')

# Description of the device for the compiler, in its text format.
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
      options: compiler options.
      cycles_per_second: clock rate of the device, if the compiler estimates cycles.
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
    arguments = parse_arguments()
    jax.config.update("jax_platforms", "cpu")  # models are created here
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # do not query a TPU
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
    """Returns the figures of one model's steps, compiled for these devices."""
    side = image_side(name)
    model, batch = build_model(name, dtype), make_batch(batch_size, side)
    model_size = size.measure(model, (side, side, 3))
    steps = {}
    for step_type, passes in (("standard", 1), ("penalized", 2)):
        compiled = _compile(model, batch, devices, target.options, penalized=passes == 2)
        steps[step_type] = _figures(compiled, model_size.parameters)
        if target.cycles_per_second:
            operations = batch_size * train_flops(2 * model_size.multiply_adds, passes)
            least = operations / peak_flops(devices[0].device_kind)
            steps[step_type] |= _estimates(compiled.as_text(), target.cycles_per_second, least)
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


def _compile(model, batch, devices, compiler_options, *, penalized):
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
    return step.lower(state, None, batch).compile(compiler_options=compiler_options)


def _figures(compiled, num_parameters):
    memory = compiled.memory_analysis()
    return {
        "held_mb": round(memory.temp_size_in_bytes / 1e6, 1),
        "in_place": round(memory.alias_size_in_bytes / memory.output_size_in_bytes, 3),
        "collectives": in_parameters(compiled.as_text(), num_parameters),
    }


def _estimates(program, cycles_per_second, least_seconds):
    """Returns the estimated time, and the utilization that follows from it."""
    seconds = sum(map(int, _CYCLES.findall(program))) / cycles_per_second
    return {
        "estimated_ms": round(1e3 * seconds, 2),
        "estimated_utilization": round(least_seconds / seconds, 3),
    }


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("compiled", __doc__)
    parser.add_argument("--target", choices=sorted(_TARGETS), default="v5e")
    parser.add_argument("--models", default=",".join(_MODELS))
    parser.add_argument("--batch_size", type=int, default=256, help="of one device")
    options.add_dtype(parser, default="bfloat16")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
