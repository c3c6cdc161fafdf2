"""The collectives of the compiled training step, by number of devices and processes.

python -m benchmark.scaling [--model=WideResNet_16_4] [--batch_size=32] [--rounds=5] [--steps=3]

Prints one JSON object per layout (1, 2 and 4 virtual CPU devices of one process, and two processes
with two devices each) and step type: each collective with the number of elements it moves, relative
to the number of parameters, and the time of a step. Virtual devices share the cores, so the times
show the overhead of the layout only.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

import jax

from benchmark import machine, options, timing
from benchmark.collectives import in_parameters
from benchmark.jax.steps import Contender, build_model, make_batch, our_step
from gnp.main.start import xla
from gnp.model.size import measure as measure_size
from gnp.training.perturbation_groups import PerturbationGroups

# Devices per process, processes.
_LAYOUTS = ((1, 1), (2, 1), (4, 1), (2, 2))
_STEP_TYPES = ("standard", "penalized", "penalized, one perturbation for all")


def main() -> None:
    """Measures each layout in its own processes, as JAX fixes its devices when it starts."""
    xla.use_all_cores()
    arguments = parse_arguments()
    if arguments.process is None:
        for devices, processes in _LAYOUTS:
            _run_layout(devices, processes, arguments)
        return
    if arguments.processes > 1:
        jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
    for figures in measure(arguments):
        if jax.process_index() == 0:
            print(json.dumps(figures), flush=True)


def measure(arguments) -> Iterator[dict]:
    """Yields the collectives and times of each step type on the visible devices."""
    model = build_model(arguments.model)
    num_parameters = measure_size(model, (32, 32, 3)).parameters
    runners = {
        step_type: Contender(*_step(step_type, model, arguments)) for step_type in _STEP_TYPES
    }
    # All processes take the same number of steps, as they wait for each other.
    counts = dict.fromkeys(_STEP_TYPES, arguments.steps)
    times = timing.steps_in_rounds(runners, counts, rounds=arguments.rounds)
    for step_type, runner in runners.items():
        yield {
            "model": arguments.model,
            "batch_size": arguments.batch_size,
            "processes": jax.process_count(),
            "rounds": arguments.rounds,
            "step": step_type,
            "collectives": in_parameters(runner.compiled.as_text(), num_parameters),
            **timing.summary(times[step_type]),
            **machine.describe(),
        }


def _step(step_type, model, arguments):
    groups = PerturbationGroups(devices=jax.device_count() if "one" in step_type else 1)
    batch = make_batch(arguments.batch_size // jax.process_count(), 32)
    return our_step(model, batch, penalized=step_type != "standard", groups=groups)


def _run_layout(devices, processes, arguments):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmark.scaling", *sys.argv[1:]]
    command += [f"--processes={processes}", f"--coordinator={coordinator}"]
    running = [
        subprocess.Popen([*command, f"--process={index}"], env=environment)
        for index in range(processes)
    ]
    for process in running:
        if process.wait():
            sys.exit(f"A process of {processes} x {devices} devices failed.")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("scaling", __doc__)
    parser.add_argument("--model", default="WideResNet_16_4")
    parser.add_argument("--batch_size", type=int, default=32, help="over all devices")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each step type")
    parser.add_argument("--steps", type=int, default=3, help="steps of a run")
    # Set by the command itself for the processes of a layout.
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--coordinator", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
