"""summary.json: what came out of a run, in what time, on what."""

import math
import pathlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata

import jax
import numpy as np

import gnp
from gnp.files import json_text, write_atomically
from gnp.report.curves import draw_curves
from gnp.report.overfitting import find_overfitting
from gnp.report.sparsity import write_sparsity
from gnp.runs.folder import CURVES_FILE, METRICS_FILE, SUMMARY_FILE, TIMINGS_FILE
from gnp.runs.metrics import read_metrics

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def best_evaluation(metrics: Sequence[dict], best_metric: str) -> dict:
    """The first line with the smallest value of a metric."""

    def order(line):
        value = line.get(best_metric, math.inf)
        return math.inf if math.isnan(value) else value

    return min((line for line in metrics if "eval/error_rate" in line), key=order)


def write_results(
    folder: pathlib.Path, *, best_metric: str, stopped_early: bool, seconds: float, images: int
) -> dict:
    """Draws the curves of a finished run and writes its `summary.json`.

    Args:
      folder: the run's folder.
      best_metric: the metric of evaluations whose smallest value is the best.
      stopped_early: whether training ended because evaluations no longer improved.
      seconds: time in training, over all starts of the run, evaluation included.
      images: training images seen.

    Returns:
      What `summary.json` holds.
    """
    metrics = read_metrics(folder / METRICS_FILE)
    best, overfitting = best_evaluation(metrics, best_metric), find_overfitting(metrics)
    marks = {"best": best["step"], "overfitting": overfitting and overfitting.step}
    draw_curves(metrics, folder / CURVES_FILE, marks)
    write_sparsity(metrics, folder)
    evaluations = [line for line in metrics if "eval/error_rate" in line]
    summary = {
        "steps": metrics[-1]["step"],
        "final": {name: value for name, value in evaluations[-1].items() if name != "step"},
        "best": best,
        "stopped_early": stopped_early,
        "parted": overfitting and overfitting._asdict(),  # the name of the file format
        "seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1) if seconds else None,
        "timing": over_all(read_metrics(folder / TIMINGS_FILE)),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "versions": {"gnp": gnp.__version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in _PACKAGES},
        "git_commit": _git_commit(),
    }
    write_atomically(folder / SUMMARY_FILE, json_text(summary))
    return summary


def over_all(windows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """A whole run's speed from the records of its windows; empty if no step was timed.

    The step time is the median over all steps of the median of each one's window. First steps are
    added up, over all starts of the run.
    """
    first = sum(window.get("time/first_step_seconds", 0.0) for window in windows)
    windows = [window for window in windows if "time/steps" in window]
    if not windows:
        return {}
    steps = np.array([window["time/steps"] for window in windows])
    seconds = sum(window["time/seconds"] for window in windows)
    images = sum(w["time/images_per_second"] * w["time/seconds"] for w in windows)
    waited = sum(window["time/data_wait_share"] * window["time/seconds"] for window in windows)
    medians = np.repeat([window["time/step_ms_median"] for window in windows], steps)
    return {
        "images_per_second": round(images / seconds, 1),
        "step_ms_median": round(float(np.median(medians)), 3),
        "data_wait_share": round(waited / seconds, 4),
        "first_step_seconds": round(first, 3),
    }


def _git_commit():
    """The commit of the source tree that this code runs from, or None outside of one."""
    # An installed copy may be inside of another repository, which does not track it.
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
