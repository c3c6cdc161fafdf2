"""What each form of the penalty gains, and what it costs: test error against passes and time.

python -m benchmark.frontier [--config=config/digits_noise.py] [--seeds=5] [--choose_seeds=3]
    [--methods=standard,penalty,...] ["--fields=FIELD=VALUE;..."] [--working_dir=DIR]
    [--radii=A,B,...] [--out=DIR]

Each method first chooses its radius among as many candidates as every other, by the mean error on
images held out from the training set; no test image is used. Then it trains with seeds of its own,
on the training labels of the config and, unless --noisy_only, on the right ones with the same
radius. Prints a JSON object for each method, and writes frontier.json, frontier.md and
frontier.png, with the Pareto front in passes, to --out. Called again with the same --working_dir
it resumes.

It runs the training command, so it needs all of its packages. The passes are counted. The time is
that of the steps relative to standard training with the same seed, without those that compile; it
means something only on an idle machine.
"""

import argparse
import contextlib
import io
import json
import logging
import pathlib
import statistics
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from absl import flags
from tqdm import tqdm

from benchmark import frontier_report, machine, options
from benchmark.frontier_report import REFERENCE
from gnp.main import main as training
from gnp.main.config import load_config
from gnp.main.start import xla
from gnp.runs.folder import SUMMARY_FILE
from gnp.training.settings.run import read_settings

_FIRST_SEED_TO_CHOOSE = 100


class Method(NamedTuple):
    """A way of training.

    Attributes:
      fields: of the config; {x} stands for the candidate, {late} and {end} for the epochs that
        begin the last quarter and the last tenth, {warmup} and {short_warmup} for a sixth and a
        tenth of the epochs.
      candidates: what {x} may be, most often the radius.
    """

    fields: tuple[str, ...]
    candidates: tuple[float, ...] = ()

    def with_radii(self, radii: Sequence[float] | None) -> "Method":
        """The method that chooses among these radii; the same if it chooses no radius."""
        if radii is None or "gnp.r={x}" not in self.fields:
            return self
        return self._replace(candidates=tuple(radii))


_OFF = ("gnp.r=0", "gnp.alpha=0")
_PENALTY = ("gnp.r={x}", "gnp.alpha=0.8")
_SAM = ("gnp.r={x}", "gnp.alpha=1")
_QUARTER = (*_SAM, "gnp.ascent_share=0.25")
_MOMENTUM = (*_SAM, "gnp.ascent=momentum")
_WARMUP = ("gr_warmup_strategy=r", "gnp.warmup_epochs={warmup}")
_SHORT_WARMUP = ("gr_warmup_strategy=r", "gnp.warmup_epochs={short_warmup}")
_PLAIN_END = ("gnp.when.last_epoch={end}",)
_BY_LOSS = (
    *_MOMENTUM,
    "gnp.ascent_decay=0.5",
    "gnp.shrink_r_below=0.58",  # a quarter of log 10, the loss of guessing
    *_PLAIN_END,
)

# Each has four candidates, so that none is tuned more than another.
_RADII = (0.25, 0.5, 1, 2)
_LARGE_RADII = (0.75, 1, 1.25, 1.5)  # of ascents that need longer ones

METHODS = {
    "standard": Method(_OFF),
    "L2": Method((*_OFF, "l2_regularization={x}"), (3e-3, 1e-2, 3e-2, 1e-1)),
    "random ascent": Method((*_PENALTY, "gnp.ascent=random"), _RADII),
    "penalty": Method(_PENALTY, _RADII),
    "SAM": Method(_SAM, _RADII),
    "ASAM": Method((*_SAM, "gnp.ascent=adaptive"), (2.5, 5, 10, 20)),  # relative to the weights
    "GSAM": Method((*_SAM, "gnp.surrogate_gap=0.1"), _RADII),
    "F-SAM": Method((*_SAM, "gnp.ascent=friendly"), _RADII),
    "SAM-ON": Method((*_SAM, "gnp.perturb=('*Norm*',)"), _RADII),
    "every 2nd step": Method((*_PENALTY, "gnp.when.every=2"), _LARGE_RADII),
    **{
        f"LookSAM every {every}th": Method(
            (*_PENALTY, f"gnp.when.every={every}", "gnp.reuse=0.7"), (0.5, 0.75, 1, 1.5)
        )
        for every in (4, 10, 20)
    },
    # A control: is what is reused more than noise?
    "LookSAM of random ascent": Method(
        (*_PENALTY, "gnp.ascent=random", "gnp.when.every=4", "gnp.reuse=0.7"), (0.5, 0.75, 1, 1.5)
    ),
    "AE-SAM": Method((*_PENALTY, "gnp.when.steep=True"), _RADII),
    "late phase": Method((*_PENALTY, "gnp.when.first_epoch={late}"), _RADII),
    "quarter batch": Method(_QUARTER, _LARGE_RADII),
    "quarter batch + plain end": Method((*_QUARTER, *_PLAIN_END), _LARGE_RADII),
    "stale": Method((*_SAM, "gnp.ascent=stale"), _LARGE_RADII),
    "MSAM": Method((*_SAM, "gnp.ascent=momentum_descent"), _RADII),
    "momentum": Method(_MOMENTUM, _LARGE_RADII),
    "momentum + plain end": Method((*_MOMENTUM, *_PLAIN_END), _LARGE_RADII),
    "momentum 0.5 + plain end": Method(
        (*_MOMENTUM, "gnp.ascent_decay=0.5", *_PLAIN_END), _LARGE_RADII
    ),
    "momentum 0.5 + warmup + plain end": Method(
        (*_MOMENTUM, "gnp.ascent_decay=0.5", *_WARMUP, *_PLAIN_END), (1, 1.25, 1.5, 2)
    ),
    "momentum + radius by loss": Method((*_BY_LOSS, *_WARMUP), (1, 1.25, 1.5, 2)),
    "momentum + radius by loss + short warmup": Method(
        (*_BY_LOSS, *_SHORT_WARMUP), (1, 1.25, 1.5, 2)
    ),
    "twentieth of the batch": Method((*_SAM, "gnp.ascent_share=0.046875"), (2, 3, 4, 6)),
}


class Trained(NamedTuple):
    """One run.

    Attributes:
      error: test (or held-out) error at its end, in percent.
      step_seconds: time of a step, without waiting for its first.
      passes: forward and backward passes of a step, the mean over the run.
    """

    error: float
    step_seconds: float
    passes: float


def main(command_line: Sequence[str] | None = None) -> None:
    """Chooses, trains and prints."""
    xla.use_all_cores()
    arguments = parse_arguments(command_line)
    flags.FLAGS.mark_as_parsed()
    logging.basicConfig()
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.WARNING)  # of the many runs
    with tempfile.TemporaryDirectory() as folder:
        runs = pathlib.Path(arguments.working_dir or folder)
        rows = list(_rows(arguments, runs))
    if arguments.out:
        frontier_report.write(rows, pathlib.Path(arguments.out))


def _rows(arguments, folder):
    chosen = {}
    for name in arguments.methods:
        chosen[name] = _choose(name, arguments, folder / "held_out")
    noisy, clean = ({name: [] for name in chosen} for _ in range(2))
    # The methods alternate, so that what else the machine does falls on all of them.
    for seed in tqdm(range(arguments.seeds), "seeds", disable=None):
        for name, (candidate, _) in chosen.items():
            noisy[name].append(_train(name, candidate, seed, arguments, folder / "test"))
            if not arguments.noisy_only:
                right = ("dataset.label_noise=0",)
                clean[name].append(
                    _train(name, candidate, seed, arguments, folder / "clean", *right)
                )
    for name, (candidate, held_out) in chosen.items():
        row = {
            "method": name,
            "chosen": candidate,
            "held_out_error_percent": held_out,
            **_measured(noisy[name], noisy[REFERENCE]),
            "clean_error_percent": [run.error for run in clean[name]],
            "config": arguments.config,
            **machine.describe(),
        }
        print(json.dumps(row), flush=True)
        yield row


def _measured(runs, reference):
    ratios = [a.step_seconds / b.step_seconds for a, b in zip(runs, reference, strict=True)]
    return {
        "error_percent": [round(run.error, 4) for run in runs],
        "passes": round(statistics.fmean(run.passes for run in runs), 3),
        "time/standard": round(statistics.median(ratios), 3),
        "time/standard_each": [round(ratio, 3) for ratio in ratios],
    }


def _choose(name, arguments, folder) -> tuple[float | None, dict[str, float]]:
    """The candidate with the lowest mean error on held-out images, and the errors of all."""
    candidates = METHODS[name].with_radii(arguments.radii).candidates
    seeds = range(_FIRST_SEED_TO_CHOOSE, _FIRST_SEED_TO_CHOOSE + arguments.choose_seeds)
    errors = {}
    for candidate in tqdm(candidates, f"radius of {name}", disable=None):
        found = [
            _train(
                name,
                candidate,
                seed,
                arguments,
                folder,
                "use_test_set=False",
                f"dataset.label_noise_seed={seed}",
            )
            for seed in seeds
        ]
        errors[candidate] = round(statistics.fmean(run.error for run in found), 3)
    best = min(errors, key=errors.get) if errors else None
    return best, {str(candidate): error for candidate, error in errors.items()}


def _train(name, candidate, seed, arguments, folder, *more) -> Trained:
    config = _config(name, candidate, arguments, f"seeds={seed}", f"init_seeds={seed}", *more)
    folder = folder / name.replace(" ", "_") / str(candidate)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run = training.run(config, folder)
    jax.clear_caches()  # or the programs of hundreds of runs fill the memory
    summary = json.loads((run / SUMMARY_FILE).read_text())
    return Trained(
        100 * summary["final"]["eval/error_rate"],
        1 / summary["timing"]["images_per_second"],
        _passes(config, summary["steps"]),
    )


def _config(name, candidate, arguments, *more):
    given = [*filter(None, arguments.fields.split(";")), *more]
    epochs = load_config(arguments.config, given).total_epochs
    values = {
        "x": candidate,
        "late": epochs * 3 // 4,
        "end": epochs - max(epochs // 10, 1),
        "warmup": epochs / 6,
        "short_warmup": epochs / 10,
    }
    return load_config(
        arguments.config, [*given, *(field.format(**values) for field in METHODS[name].fields)]
    )


def _passes(config: Any, steps: int) -> float:
    """Forward and backward passes of a step, counted over a run."""
    penalty = read_settings(config, num_devices=jax.device_count()).penalty
    which = penalty.penalized_steps(steps // config.total_epochs, steps)
    if which is None:
        return 1.0
    share = which.among(jax.random.PRNGKey(config.seeds), 0, steps).mean()
    return float(1 + share * (penalty.form.num_passes - 1))


def _numbers(text):
    return [float(number) for number in text.split(",")]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = options.parser("frontier", __doc__)
    parser.add_argument("--config", default="config/digits_noise.py")
    parser.add_argument("--methods", type=options.names(METHODS), default=list(METHODS))
    parser.add_argument("--fields", default="", help="changes to the config, FIELD=VALUE;...")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0")
    parser.add_argument("--choose_seeds", type=int, default=3, help="seeds of each candidate")
    parser.add_argument("--radii", type=_numbers, help="to choose from, instead of each method's")
    parser.add_argument("--noisy_only", action="store_true", help="no training on right labels")
    parser.add_argument("--working_dir", help="keeps the runs; existing runs resume")
    parser.add_argument("--out", help="the folder for table, picture and JSON")
    parsed = parser.parse_args(arguments)
    if REFERENCE not in parsed.methods:
        parser.error(f"--methods needs {REFERENCE}, with which the others are compared.")
    return parsed


if __name__ == "__main__":
    main()
