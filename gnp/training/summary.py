"""summary.json: what came out of a run, in what time, on what."""

import math
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata

import jax

import gnp
from gnp.diagnostics.overfitting import Parting
from gnp.training.run_folder import json_text, write_atomically
from gnp.training.throughput import over_all

SUMMARY_FILE = "summary.json"

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def best_evaluation(metrics: Sequence[dict], best_metric: str) -> dict:
    """The first line with the smallest value of a metric."""

    def order(line):
        value = line.get(best_metric, math.inf)
        return math.inf if math.isnan(value) else value

    return min((line for line in metrics if "eval/error_rate" in line), key=order)


def write_summary(
    folder: pathlib.Path,
    metrics: Sequence[dict],
    *,
    timings: Sequence[dict],
    best: dict,
    parting: Parting | None,
    stopped_early: bool,
    seconds: float,
    images: int,
) -> dict:
    """Writes `summary.json` and returns what it holds.

    Args:
      folder: the run's folder.
      metrics: the lines of its `metrics.jsonl`.
      timings: the lines of its `timings.jsonl`.
      best: the line of the best evaluation.
      parting: where training and validation parted.
      stopped_early: whether training ended for want of better evaluations.
      seconds: time in training, over all starts of the run, evaluation included.
      images: training images seen.
    """
    evaluations = [line for line in metrics if "eval/error_rate" in line]
    summary = {
        "steps": metrics[-1]["step"],
        "final": {name: value for name, value in evaluations[-1].items() if name != "step"},
        "best": best,
        "stopped_early": stopped_early,
        "parted": parting and parting._asdict(),
        "seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1) if seconds else None,
        "timing": over_all(timings),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "versions": {"gnp": gnp.__version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in _PACKAGES},
        "git_commit": _git_commit(),
    }
    write_atomically(folder / SUMMARY_FILE, json_text(summary))
    return summary


def _git_commit():
    """The commit of the source tree that this code runs from, or None outside of one."""
    # An installed copy may lie in some other repository, which does not track it.
    package = pathlib.Path(gnp.__file__).parent
    try:
        _git("ls-files", "--error-unmatch", "__init__.py", cwd=package)
        return _git("rev-parse", "HEAD", cwd=package)
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments, cwd):
    command = ["git", *arguments]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return result.stdout.strip()
