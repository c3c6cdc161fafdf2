"""Time of a training step mapped over devices by jax.pmap, as in a run, and by jax.shard_map.

python -m benchmark.mapping [--devices=1,2,4] [--rounds=15] [--seconds=1]
python -m benchmark.mapping --here [--rounds=15] [--seconds=1]

Prints one JSON object per model and number of virtual CPU devices, or with --here for the devices
that this machine has, accelerators among them: milliseconds per penalized step, by the clock and of
CPU time, and the ratio of pmap's time to shard_map's, below 1 where pmap is faster. Where other
programs share the machine, CPU time tells more than the clock.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time

import jax
import numpy as np
from jax.sharding import Mesh

from benchmark import machine, timing
from benchmark.contenders import Contender, build_model, make_batch, map_by_shard_map, our_step
from gnp.main import xla
from gnp.training import parallel

# Model -> images per batch, side of an image.
_CASES = {"WideResNet_10_1": (64, 8), "WideResNet_16_4": (16, 8)}


def main() -> None:
    """Measures each number of devices in a process of its own."""
    xla.use_all_cores()
    arguments = _parse_arguments()
    if arguments.here:
        for name in _CASES:
            print(json.dumps(measure(name, arguments)), flush=True)
        return
    command = [sys.executable, "-m", "benchmark.mapping", "--here"]
    command += [f"--rounds={arguments.rounds}", f"--seconds={arguments.seconds}"]
    for devices in arguments.devices.split(","):
        cpu = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": devices}
        subprocess.run(command, env=os.environ | cpu, check=True)


def measure(name: str, arguments) -> dict:
    """Times of one model on the devices that there are."""
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
    """`our_step` mapped by jax.shard_map, and its arguments."""
    mesh = Mesh(np.array(jax.devices()), (parallel.AXIS,))
    map_step = functools.partial(map_by_shard_map, mesh=mesh)
    return our_step(model, batch, penalized=True, map_step=map_step)


def _compare(contenders, arguments):
    times = timing.in_turns(contenders, rounds=arguments.rounds, seconds=arguments.seconds)
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


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmark.mapping")
    parser.add_argument("--devices", default="1,2,4", help="numbers of virtual devices")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn, about")
    parser.add_argument("--here", action="store_true", help="measure on the devices there are")
    return parser.parse_args()


if __name__ == "__main__":
    main()
