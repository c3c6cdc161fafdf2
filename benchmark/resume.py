"""Whether a killed run ends with the numbers of one that was left alone, and what that costs.

python -m benchmark.resume --out=DIR [--config=config/digits.py] [--epochs=30] [--deterministic]

Trains twice with the same seeds: once without interruption, once killed after its first checkpoint
and started again. Prints a JSON object: whether all recorded metrics and all parameters at the end
are equal, and the time of a step. GPUs add numbers in any order unless told otherwise:
--deterministic sets XLA_FLAGS=--xla_gpu_deterministic_ops=true.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmark import options

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def main(command_line: Sequence[str] | None = None) -> None:
    """Trains, compares and prints."""
    arguments = parse_arguments(command_line)
    if arguments.deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DETERMINISTIC}".strip()
    out = pathlib.Path(arguments.out)
    for name in ("whole", "killed"):
        if (out / name).exists():
            sys.exit(f"{out / name} exists; choose another --out.")
    whole = _train(out / "whole", arguments)
    _kill_after_a_checkpoint(out / "killed", arguments)
    killed = _train(out / "killed", arguments)
    found = {
        "config": arguments.config,
        "deterministic": arguments.deterministic,
        "resumed": "Resuming after step" in (killed / "log.txt").read_text(),
        "same_metrics": _bytes(whole) == _bytes(killed),
        "same_parameters": _same_parameters(whole, killed),
        "step_ms": json.loads((whole / "summary.json").read_text())["timing"]["step_ms_median"],
    }
    print(json.dumps(found))


def _command(folder, arguments) -> list[str]:
    return [
        *(sys.executable, "-m", "gnp.main.main", f"--config={arguments.config}"),
        *(f"--working_dir={folder}", f"--config.total_epochs={arguments.epochs}"),
        "--config.save_ckpt_every_n_epochs=1",
    ]


def _train(folder, arguments) -> pathlib.Path:
    """Returns the run's folder."""
    subprocess.run(_command(folder, arguments), check=True, stdout=subprocess.DEVNULL)
    return next(folder.rglob("summary.json")).parent


def _kill_after_a_checkpoint(folder, arguments) -> None:
    process = subprocess.Popen(_command(folder, arguments), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if any(path.name.isdigit() for path in folder.glob("**/checkpoints/*")):
            process.kill()
        time.sleep(0.01)
    process.wait()


def _bytes(run) -> bytes:
    return (run / "metrics.jsonl").read_bytes()


def _same_parameters(*runs) -> bool:
    # Not earlier: the trainings need the accelerator's memory.
    import jax
    import numpy as np

    import gnp

    one, other = (jax.tree.leaves(gnp.load_run(run, checkpoint="last").variables) for run in runs)
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("resume", __doc__)
    parser.add_argument("--out", required=True, help="the folder of both runs")
    parser.add_argument("--config", default="config/digits.py")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--deterministic", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
