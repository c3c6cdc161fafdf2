"""Time from the start of the training command to its first steps.

python -m benchmark.start_up [--config=config/digits.py] [--rounds=5]

Prints one JSON object: the seconds to import the training command in a fresh Python, and of two
runs of one penalized epoch, with an empty compilation cache and with the cache of the first run.
For each run it reports the first steps, which compile, and the whole command.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmark import machine, options, timing


def main() -> None:
    """Measures and prints."""
    arguments = parse_arguments()
    starts = {"import": [], "cold": [], "warm": []}
    for _ in range(arguments.rounds):
        starts["import"].append(_seconds(["-c", "import gnp.main.main"]))
        with tempfile.TemporaryDirectory() as folder:
            for start in ("cold", "warm"):
                starts[start].append(_train(arguments.config, pathlib.Path(folder), start))
    figures = {"config": arguments.config, "rounds": arguments.rounds}
    figures |= {"import": timing.spread(starts["import"], "s", digits=2)}
    for start in ("cold", "warm"):
        first, whole = zip(*starts[start], strict=True)
        figures[f"{start}_first_steps"] = timing.spread(first, "s", digits=2)
        figures[f"{start}_command"] = timing.spread(whole, "s", digits=2)
    print(json.dumps(figures | machine.describe()), flush=True)


def _train(config, folder, start):
    """Returns the seconds of the first steps and of the whole command."""
    runs = folder / start
    command = ["-m", "gnp.main.main", f"--config={config}", f"--working_dir={runs}"]
    options = ["--config.total_epochs=1", "--config.warmup_epochs=0"]
    options += ["--config.gnp.r=0.1", "--config.gnp.alpha=0.8"]
    whole = _seconds([*command, *options], JAX_COMPILATION_CACHE_DIR=str(folder / "cache"))
    (summary,) = runs.rglob("summary.json")
    return json.loads(summary.read_text())["timing"]["first_step_seconds"], whole


def _seconds(arguments, **environment):
    start = time.monotonic()
    subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - start


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("start_up", __doc__)
    parser.add_argument("--config", default="config/digits.py")
    parser.add_argument("--rounds", type=int, default=5, help="fresh starts of each type")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
