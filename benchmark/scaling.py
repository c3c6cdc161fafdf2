"""What the devices of a training step tell each other: the collectives of the compiled step.

python -m benchmark.scaling [--model=WideResNet_16_4] [--batch_size=32] [--rounds=5]
    [--steps=3]

Prints one JSON object per layout (1, 2 and 4 virtual CPU devices of one process, and two processes
of two) and kind of step: each operation that communicates with the number of parameters' worth of
numbers that it moves, and the time of a step. The kinds take turns. Virtual devices share the
cores, so times tell only what the layout itself costs.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import jax

from benchmark import machine, timing
from benchmark.contenders import Contender, build_model, make_batch, our_step
from gnp.main import xla
from gnp.model.size import measure as measure_size
from gnp.training.groups import Groups

# Devices of each process, and processes.
_LAYOUTS = ((1, 1), (2, 1), (4, 1), (2, 2))
_KINDS = ("standard", "penalized", "penalized, one perturbation for all")
# How the names of XLA's operations that communicate begin; what ends one is not another one.
_BEGINNING = "all-|ragged-|collective-|reduce-scatter|send|recv"
_COLLECTIVE = re.compile(rf"= (.+?) ((?:{_BEGINNING})[a-z-]*?)(?:-start)?(?<!-done)\(")
_SHAPE = re.compile(r"\w+\[([\d,]*)\]")


def main() -> None:
    """Measures each layout in processes of its own, which must know it from their start."""
    xla.use_all_cores()
    arguments = _parse_arguments()
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
    """Collectives and times of each kind of step, on the devices that there are."""
    model = build_model(arguments.model)
    num_parameters = measure_size(model, (32, 32, 3)).parameters
    runners = {kind: Contender(*_step(kind, model, arguments)) for kind in _KINDS}
    # As many steps in all processes, which wait for each other.
    counts = dict.fromkeys(_KINDS, arguments.steps)
    times = timing.take_turns(runners, counts, rounds=arguments.rounds)
    for kind, runner in runners.items():
        yield {
            "model": arguments.model,
            "batch_size": arguments.batch_size,
            "processes": jax.process_count(),
            "rounds": arguments.rounds,
            "step": kind,
            "collectives": [
                {"kind": name, "parameters": round(moved / num_parameters, 2)}
                for name, moved in collectives(runner.compiled.as_text())
            ],
            **timing.summary(times[kind]),
            **machine.describe(),
        }


def _step(kind, model, arguments):
    groups = Groups(devices=jax.device_count()) if "one" in kind else Groups()
    batch = make_batch(arguments.batch_size // jax.process_count(), 32)
    return our_step(model, batch, penalized=kind != "standard", groups=groups)


def collectives(program: str) -> list[tuple[str, int]]:
    """The collectives of a compiled program, each with how many numbers it moves.

    Args:
      program: its text, as `compiled.as_text()` gives it.
    """
    return [
        (match[2], sum(_size(shape[1]) for shape in _SHAPE.finditer(match[1])))
        for match in _COLLECTIVE.finditer(program)
    ]


def _size(shape):
    size = 1
    for side in filter(None, shape.split(",")):
        size *= int(side)
    return size


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


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmark.scaling")
    parser.add_argument("--model", default="WideResNet_16_4")
    parser.add_argument("--batch_size", type=int, default=32, help="over all devices")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each kind of step")
    parser.add_argument("--steps", type=int, default=3, help="in a turn")
    # Set by the command itself, for the processes of a layout.
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--coordinator", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
