"""Cost and test error of penalizing only some of the steps.

python -m benchmark.schedules [--config=config/digits.py] [--seeds=5] [--working_dir=DIR]
    [--fields=FIELD=VALUE,FIELD=VALUE]

Trains each schedule with each seed, alternating, and prints one JSON object per schedule: the mean
test error with its standard deviation over seeds, and the time of the steps relative to standard
training with the same seed, median, minimum and maximum. It runs the training command, so it needs
all of its packages, including ml_collections.
"""

import argparse
import contextlib
import io
import json
import pathlib
import statistics
import tempfile
from collections.abc import Sequence

from absl import flags

from benchmark import machine, options, timing
from gnp.main import main as training
from gnp.main import xla
from gnp.main.config import load_config
from gnp.runs.folder import SUMMARY_FILE

_PENALTY = ("gnp.r=0.1", "gnp.alpha=0.8")
SCHEDULES = {  # {half} stands for half of the epochs
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
    arguments = parse_arguments()
    flags.FLAGS.mark_as_parsed()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(arguments.working_dir or folder)
        summaries = {schedule: [] for schedule in SCHEDULES}
        for seed in range(arguments.seeds):
            for schedule in SCHEDULES:
                runs = folder / schedule.replace(" ", "_")
                summaries[schedule].append(_train(schedule, seed, runs, arguments))
    standard = [_step_seconds(summary) for summary in summaries["standard"]]
    for schedule, found in summaries.items():
        errors = [100 * summary["final"]["eval/error_rate"] for summary in found]
        times = timing.ratios([_step_seconds(summary) for summary in found], standard)
        print(
            json.dumps(
                {
                    "way": schedule,
                    "seeds": arguments.seeds,
                    "test_error_percent": round(statistics.mean(errors), 3),
                    "deviation": round(statistics.stdev(errors), 3) if len(errors) > 1 else None,
                    "time/standard": timing.spread(times, "ratio", digits=3),
                    **machine.describe(),
                }
            ),
            flush=True,
        )


def _train(schedule, seed, folder, arguments):
    fields = [*filter(None, arguments.fields.split(",")), f"seeds={seed}", f"init_seeds={seed}"]
    half = load_config(arguments.config, fields).total_epochs // 2
    settings = load_config(
        arguments.config, fields + [field.format(half=half) for field in SCHEDULES[schedule]]
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


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("schedules", __doc__)
    parser.add_argument("--config", default="config/digits.py")
    parser.add_argument("--fields", default="", help="changes to the config, FIELD=VALUE,...")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0")
    parser.add_argument("--working_dir", help="keeps the runs; existing runs resume")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
