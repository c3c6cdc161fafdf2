"""summary.json: what came out of a run, in what time, on what."""

import contextlib
import datetime
import logging
import math
import pathlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

import gnp
from gnp.errors import CannotWriteError, UserError
from gnp.files import json_text, read_json, write_atomically
from gnp.report.curves import draw_curves
from gnp.report.overfitting import find_overfitting
from gnp.report.sparsity import SPARSITY_TABLE, write_sparsity
from gnp.runs.config_file import MARK
from gnp.runs.folder import CURVES_FILE, METRICS_FILE, SUMMARY_FILE
from gnp.runs.metrics import best_evaluation

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")

_log = logging.getLogger(__name__)


def summarize(
    metrics: Sequence[dict],
    timings: Sequence[dict],
    position: Any,
    *,
    best_metric: str,
    stopped_early: bool,
    batch_size: int,
) -> dict:
    """What `summary.json` holds.

    Args:
      metrics, timings: the lines of these files.
      position: where the run ended, a `gnp.training.position.Position`.
      best_metric: the metric of evaluations whose smallest value is the best.
      stopped_early: whether training ended because evaluations no longer improved.
      batch_size: images per step.

    Raises:
      UserError: the metrics lack the last evaluation.
    """
    evaluations = [line for line in metrics if "eval/error_rate" in line]
    last = evaluations[-1]["step"] if evaluations else 0
    if not evaluations or last < position.evaluated_step:
        raise UserError(
            f"{METRICS_FILE} lacks the evaluation of step {position.evaluated_step}, with which "
            "the run ended, so it was emptied or cut; put it back, or set --config.retrain=True "
            "to train again."
        )
    best = best_evaluation(metrics, best_metric)
    if position.best_value not in (None, best.get(best_metric)):  # its line was lost or changed
        best = {"step": position.best_step, "eval/error_rate": math.nan}
        best[best_metric] = position.best_value
    seconds = position.seconds
    overfitting = find_overfitting(metrics)
    return {
        "steps": position.step,
        "final": {name: value for name, value in evaluations[-1].items() if name != "step"},
        "best": best,
        "stopped_early": stopped_early,
        "parted": overfitting and overfitting._asdict(),  # the name of the file format
        "seconds": round(seconds, 3),
        "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "images_per_second": (round(position.step * batch_size / seconds, 1) if seconds else None),
        "timing": over_all(timings),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "versions": {"gnp": gnp.__version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in _PACKAGES},
        "git_commit": _git_commit(),
    }


def ended_as_before(folder: pathlib.Path, summary: dict) -> dict:
    """The summary, with the time of the end that the folder's has if nothing was trained since."""
    with contextlib.suppress(UserError, OSError):
        before = read_json(folder / SUMMARY_FILE)
        if all(before.get(name) == summary[name] for name in ("steps", "seconds")):
            return summary | {"ended": before.get("ended", summary["ended"])}
    return summary


def write_results(
    folder: pathlib.Path, summary: Mapping, metrics: Sequence[dict], *, is_saved: bool
) -> list[str]:
    """Draws the curves of a run at its end and writes its `summary.json`.

    Args:
      folder: the run's folder.
      summary: from `summarize`.
      metrics: the lines of the run's `metrics.jsonl`.
      is_saved: whether all else is on disk. Otherwise the run is not finished, and there is no
        summary.

    Returns:
      The files that are not there; a warning says why.
    """
    overfitting = summary["parted"]
    marks = {"best": summary["best"]["step"], "overfitting": overfitting and overfitting["step"]}
    marks |= {
        f"{name.removeprefix(MARK)} = {value:g}": line["step"]
        for line in metrics
        for name, value in line.items()
        if name.startswith(MARK)
    }
    writers = {
        CURVES_FILE: lambda: draw_curves(metrics, folder / CURVES_FILE, marks),
        SPARSITY_TABLE: lambda: write_sparsity(metrics, folder),
        SUMMARY_FILE: lambda: write_atomically(folder / SUMMARY_FILE, json_text(summary)),
    }
    lost = []
    if not is_saved:
        del writers[SUMMARY_FILE]
        lost.append(SUMMARY_FILE)
    for name, write in writers.items():
        try:
            write()
        except CannotWriteError as error:
            _log.warning("%s", error)
            lost.append(name)
    return lost


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
    if not seconds > 0:
        return {}
    medians = np.array([window["time/step_ms_median"] for window in windows])
    return {
        "images_per_second": round(images / seconds, 1),
        "step_ms_median": round(_median(medians, steps), 3),
        "data_wait_share": round(waited / seconds, 4),
        "first_step_seconds": round(first, 3),
    }


def _median(values, counts):
    """The median where each value stands for so many."""
    order = np.argsort(values)
    last = np.cumsum(counts[order])  # one more than the place of the last one of each value
    middle = (last[-1] - 1) // 2, last[-1] // 2
    return float(np.mean(values[order][np.searchsorted(last, middle, side="right")]))


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
