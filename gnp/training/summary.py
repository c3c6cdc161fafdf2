"""summary.json: what came out of a run, in what time, on what."""

import json
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata

import jax

import gnp
from gnp.training.run_folder import write_atomically
from gnp.training.throughput import over_all

SUMMARY_FILE = "summary.json"

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def write_summary(
    folder: pathlib.Path,
    metrics: Sequence[dict],
    *,
    timings: Sequence[dict],
    seconds: float,
    images: int,
) -> dict:
    """Writes `summary.json` and returns what it holds.

    Args:
      folder: the run's folder.
      metrics: the lines of its `metrics.jsonl`.
      timings: the lines of its `timings.jsonl`.
      seconds: time in training, over all starts of the run, evaluation included.
      images: training images seen.
    """
    evaluations = [line for line in metrics if "eval/error_rate" in line]
    summary = {
        "steps": metrics[-1]["step"],
        "final": {name: value for name, value in evaluations[-1].items() if name != "step"},
        "best": min(evaluations, key=lambda line: line["eval/error_rate"]),
        "seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1) if seconds else None,
        "timing": over_all(timings),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "versions": {"gnp": gnp.__version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in _PACKAGES},
        "git_commit": _git_commit(),
    }
    write_atomically(folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")
    return summary


def _git_commit():
    """The commit of the source tree that this code runs from, or None outside of one."""
    command = ["git", "rev-parse", "HEAD"]
    root = pathlib.Path(gnp.__file__).parents[1]
    try:
        result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
