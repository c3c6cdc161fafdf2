"""What penalizing fewer steps costs, and what it keeps of the penalty's effect on the test error.

python -m benchmark.schedules [--config=config/digits.py] [--seeds=5] [--working_dir=DIR]
    [--fields=FIELD=VALUE,FIELD=VALUE]

Trains each way with each seed, taking turns, and prints one JSON object per way: the mean test
error with its deviation over seeds, and the time of the steps over that of standard training with
the same seed, median and spread. Runs through the command of this project, so it needs all that
this needs, ml_collections too.
"""

import argparse
import contextlib
import io
import json
import pathlib
import statistics
import tempfile

from absl import flags

from benchmark import machine, timing
from gnp.main import main as training
from gnp.main import xla
from gnp.main.config import load_config
from gnp.runs.folder import SUMMARY_FILE

_PENALTY = ("gnp.r=0.1", "gnp.alpha=0.8")
WAYS = {  # {half} stands for half of the epochs
    "standard": ("gnp.r=0", "gnp.alpha=0"),
    "every step": _PENALTY,
    "every 2nd": (*_PENALTY, "gnp.every=2"),
    "every 5th": (*_PENALTY, "gnp.every=5"),
    "every 5th, reused": (*_PENALTY, "gnp.every=5", "gnp.reuse=0.7"),
    "with probability 0.5": (*_PENALTY, "use_hybrid_training=True", "hybrid_config.p=0.5"),
    "in the second half": (*_PENALTY, "gr_warmup_strategy=zero", "gnp.warmup_epochs={half}"),
}


def main() -> None:
    """Trains and prints."""
    xla.use_all_cores()
    arguments = _parse_arguments()
    flags.FLAGS.mark_as_parsed()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(arguments.working_dir or folder)
        summaries = {way: [] for way in WAYS}
        for seed in range(arguments.seeds):
            for way in WAYS:
                summaries[way].append(_train(way, seed, folder / way.replace(" ", "_"), arguments))
    standard = [_step_seconds(summary) for summary in summaries["standard"]]
    for way, found in summaries.items():
        errors = [100 * summary["final"]["eval/error_rate"] for summary in found]
        times = timing.ratios([_step_seconds(summary) for summary in found], standard)
        print(
            json.dumps(
                {
                    "way": way,
                    "seeds": arguments.seeds,
                    "test_error_percent": round(statistics.mean(errors), 3),
                    "deviation": round(statistics.stdev(errors), 3) if len(errors) > 1 else None,
                    "time/standard": timing.spread(times, "ratio", digits=3),
                    **machine.describe(),
                }
            ),
            flush=True,
        )


def _train(way, seed, folder, arguments):
    fields = [*filter(None, arguments.fields.split(",")), f"seeds={seed}", f"init_seeds={seed}"]
    half = load_config(arguments.config, fields).total_epochs // 2
    settings = load_config(
        arguments.config, fields + [field.format(half=half) for field in WAYS[way]]
    )
    with contextlib.redirect_stdout(io.StringIO()):
        training.run(settings, folder)
    (summary,) = [
        json.loads(path.read_text())
        for path in folder.rglob(SUMMARY_FILE)
        if path.parent.name == f"seeds_{seed}_{seed}"
    ]
    return summary


def _step_seconds(summary):
    return 1 / summary["timing"]["images_per_second"]


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmark.schedules")
    parser.add_argument("--config", default="config/digits.py")
    parser.add_argument("--fields", default="", help="changes to the config, FIELD=VALUE,...")
    parser.add_argument("--seeds", type=int, default=5, help="from 0")
    parser.add_argument("--working_dir", help="keeps the runs; a folder that has some goes on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
