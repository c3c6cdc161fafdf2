"""Time of a training step under jax.pmap, as in a run, and under jax.shard_map.

python -m benchmark.pmap_overhead [--devices=1,2,4] [--rounds=15] [--seconds=1]
python -m benchmark.pmap_overhead --here [--rounds=15] [--seconds=1]

Prints one JSON object per model and number of virtual CPU devices; with --here, for the devices of
this machine, such as accelerators. Figures are milliseconds per penalized step in wall time and CPU
time, and the ratio of pmap's time to shard_map's, which is below 1 if pmap is faster. If other
programs run on the machine, prefer the CPU time.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from benchmark import machine, options, timing
from benchmark.jax.steps import Contender, build_model, make_batch, map_by_shard_map, our_step
from gnp.main.start import xla
from gnp.training import parallel

# Model -> batch size, image size.
_CASES = {"WideResNet_10_1": (64, 8), "WideResNet_16_4": (16, 8)}


def main() -> None:
    """Measures each number of devices in its own process."""
    xla.use_all_cores()
    arguments = parse_arguments()
    if arguments.here:
        for name in _CASES:
            print(json.dumps(measure(name, arguments)), flush=True)
        return
    command = [sys.executable, "-m", "benchmark.pmap_overhead", "--here"]
    command += [f"--rounds={arguments.rounds}", f"--seconds={arguments.seconds}"]
    for devices in arguments.devices.split(","):
        cpu = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": devices}
        subprocess.run(command, env=os.environ | cpu, check=True)


def measure(name: str, arguments) -> dict:
    """Returns the times of one model on the visible devices."""
    model, batch = build_model(name), make_batch(*_CASES[name])
    contenders = {
        "pmap": Contender(*our_step(model, batch, penalized=True)),
        "shard_map": Contender(*step_by_shard_map(model, batch)),
    }
    return {
        "model": name,
        "rounds": arguments.rounds,
        "clock": _compare(contenders, arguments),
        "cpu_time": _compare({k: _in_cpu_time(run) for k, run in contenders.items()}, arguments),
        **machine.describe(),
    }


def step_by_shard_map(model, batch: dict) -> tuple:
    """Returns `our_step` under jax.shard_map, and its arguments."""
    mesh = Mesh(np.array(jax.devices()), (parallel.AXIS,))
    map_step = functools.partial(map_by_shard_map, mesh=mesh)
    return our_step(model, batch, penalized=True, map_step=map_step)


def _compare(contenders, arguments):
    times = timing.in_rounds(contenders, rounds=arguments.rounds, seconds=arguments.seconds)
    pairs = zip(times["pmap"], times["shard_map"], strict=True)
    quartiles = statistics.quantiles((a / b for a, b in pairs), n=4)
    return {
        **{name: timing.summary(seconds) for name, seconds in times.items()},
        "pmap/shard_map": timing.ratio(times["pmap"], times["shard_map"]),
        "quartiles": [round(quartiles[0], 3), round(quartiles[2], 3)],
    }


def _in_cpu_time(contender):
    def run(steps):
        start = time.process_time()
        contender(steps)
        return time.process_time() - start

    return run


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("pmap_overhead", __doc__)
    parser.add_argument("--devices", default="1,2,4", help="numbers of virtual devices")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each contender")
    parser.add_argument("--seconds", type=float, default=1.0, help="approximate length of a run")
    parser.add_argument("--here", action="store_true", help="measure on the visible devices")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
