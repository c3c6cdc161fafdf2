"""Time of a training step mapped over devices by jax.pmap, as gnp does, and by jax.shard_map.

python -m benchmark.mapping [--devices=1,2,4] [--rounds=30]

Prints one JSON object per model and number of virtual CPU devices: milliseconds per step, by the
clock and of CPU time, medians over rounds in which both sides take turns; and the ratio of pmap's
time to shard_map's, below 1 where pmap is faster, with the quartiles of the rounds' ratios. Where
other programs share the machine, CPU time tells more than the clock.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import jax
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

from gnp.model import create_model
from gnp.optimizer.build import build_optimizer
from gnp.training import parallel
from gnp.training.gradient import PenaltySettings
from gnp.training.objective import Objective
from gnp.training.state import create_state
from gnp.training.step import make_train_step

# Model -> image shape, images per batch, steps per round.
CASES = {"WideResNet_10_1": ((8, 8, 1), 64, 10), "WideResNet_16_4": ((8, 8, 3), 16, 1)}


def map_by_shard_map(step):
    """`parallel.map_train_step` with jax.shard_map in place of jax.pmap."""

    def of_shard(state, device_data, batch):
        return step(state, jax.tree.map(lambda x: x[0], batch))

    mapped = jax.shard_map(
        of_shard,
        mesh=Mesh(np.array(jax.devices()), (parallel.AXIS,)),
        in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec(parallel.AXIS)),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=0)


MAPPINGS = {"pmap": parallel.map_train_step, "shard_map": map_by_shard_map}


class Training:
    """A model that takes penalized steps on one batch, mapped one way."""

    def __init__(self, model_name, image_shape, batch_size, map_step):
        model = create_model(model_name, 10)
        optimizer = build_optimizer("Momentum", {})
        step = make_train_step(
            Objective(model, l2=1e-3),
            optimizer,
            optax.constant_schedule(0.01),
            penalty=PenaltySettings(optax.constant_schedule(0.1), optax.constant_schedule(0.8)),
            gradient_clipping=5.0,
        )
        rng = np.random.default_rng(0)
        self._batch = parallel.split(
            {
                "image": rng.normal(size=(batch_size, *image_shape)).astype(np.float32),
                "label": np.eye(10, dtype=np.float32)[rng.integers(0, 10, batch_size)],
            }
        )
        self._state = parallel.replicate(
            create_state(model, optimizer, image_shape=image_shape, init_seed=0, seed=0)
        )
        self._step = map_step(step)

    def run(self, steps):
        """Milliseconds per step, by the clock and of CPU time, and the last loss."""
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self._state, metrics = self._step(self._state, None, self._batch)
        loss = metrics["loss"].item()
        return (
            1e3 * (time.perf_counter() - wall) / steps,
            1e3 * (time.process_time() - cpu) / steps,
            loss,
        )


def measure(model_name: str, rounds: int) -> dict:
    """Both mappings, round by round, on all devices of this process."""
    image_shape, batch_size, steps = CASES[model_name]
    sides = {
        name: Training(model_name, image_shape, batch_size, map_step)
        for name, map_step in MAPPINGS.items()
    }
    losses = {name: side.run(2)[-1] for name, side in sides.items()}
    np.testing.assert_allclose(losses["pmap"], losses["shard_map"], rtol=1e-5)
    times = {name: [] for name in sides}
    for turn in range(rounds):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            times[name].append(sides[name].run(steps)[:2])
    wall, cpu = np.moveaxis([times["pmap"], times["shard_map"]], -1, 0)
    sizes = {"case": model_name, "devices": jax.device_count(), "rounds": rounds}
    return sizes | _compare("wall", wall) | _compare("cpu", cpu)


def _compare(clock, times):
    """Medians of what two sides took in each round, and of their ratio."""
    pmap, shard_map = np.median(times, axis=1)
    low, high = np.percentile(times[0] / times[1], [25, 75])
    values = {
        "pmap_ms": pmap,
        "shard_map_ms": shard_map,
        "ratio": pmap / shard_map,
        "ratio_low": low,
        "ratio_high": high,
    }
    return {f"{clock}_{name}": round(float(value), 3) for name, value in values.items()}


def main() -> None:
    """Measures each number of devices in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--here", action="store_true", help="measure on the devices there are")
    arguments = parser.parse_args()
    if arguments.here:
        for model_name in CASES:
            print(json.dumps(measure(model_name, arguments.rounds)), flush=True)
        return
    command = [sys.executable, "-m", "benchmark.mapping", "--here", f"--rounds={arguments.rounds}"]
    for devices in arguments.devices.split(","):
        cpu = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": devices}
        subprocess.run(command, env=os.environ | cpu, check=True)


if __name__ == "__main__":
    main()
