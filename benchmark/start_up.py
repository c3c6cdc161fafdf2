"""How long a command takes until it trains.

python -m benchmark.start_up [--config=config/digits.py] [--rounds=5]

Prints one JSON object: seconds to import the training command in a fresh Python, and of a run of
one penalized epoch with an empty compilation cache and with the one that was left by it: its first
steps, which compile, and the whole command.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmark import machine, timing


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.start_up")
    parser.add_argument("--config", default="config/digits.py")
    parser.add_argument("--rounds", type=int, default=5, help="fresh starts of each kind")
    arguments = parser.parse_args()
    starts = {"import": [], "cold": [], "warm": []}
    for _ in range(arguments.rounds):
        starts["import"].append(_seconds(["-c", "import gnp.main.main"]))
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("cold", "warm"):
                starts[kind].append(_train(arguments.config, pathlib.Path(folder), kind))
    figures = {"config": arguments.config, "rounds": arguments.rounds}
    figures |= {"import": timing.spread(starts["import"], "s", digits=2)}
    for kind in ("cold", "warm"):
        first, whole = zip(*starts[kind], strict=True)
        figures[f"{kind}_first_steps"] = timing.spread(first, "s", digits=2)
        figures[f"{kind}_command"] = timing.spread(whole, "s", digits=2)
    print(json.dumps(figures | machine.describe()), flush=True)


def _train(config, folder, kind):
    """Seconds of the first steps and of the whole command."""
    runs = folder / kind
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


if __name__ == "__main__":
    main()
