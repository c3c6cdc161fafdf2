"""Finds the runs below some folders, and reads their files."""

import glob
import json
import math
import os
import pathlib
from collections.abc import Iterable

from gnp.errors import UserError
from gnp.report.groups import Run
from gnp.report.sparsity import SPARSITY_TABLE
from gnp.runs.folder import (
    CONFIG_FILE,
    DIAGNOSE_FILE,
    DIAGNOSE_PICTURE,
    DIAGNOSTICS_FOLDER,
    LANDSCAPE_FILES,
    METRICS_FILE,
    SHARPNESS_FILE,
    SPECTRUM_PICTURE,
    SUMMARY_FILE,
    TIMINGS_FILE,
    flatten,
)
from gnp.runs.metrics import read_metrics

_PICTURES = {
    "Spectrum of the Hessian": SPECTRUM_PICTURE,
    "Loss along a line": pathlib.Path(LANDSCAPE_FILES[1]).with_suffix(".png"),
    "Loss over a plane": pathlib.Path(LANDSCAPE_FILES[2]).with_suffix(".png"),
    "Loss between two checkpoints": pathlib.Path(LANDSCAPE_FILES["to"]).with_suffix(".png"),
    "Layers": DIAGNOSE_PICTURE,
}


def find_runs(patterns: Iterable[str]) -> list[pathlib.Path]:
    """The folders of all runs at or below the folders that match the patterns, with * and **."""
    found = set()
    for pattern in patterns:
        # An existing folder may have brackets in its name.
        matches = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        for match in map(pathlib.Path, matches):
            found |= {file.parent.resolve() for file in match.rglob(CONFIG_FILE)}
    return sorted(found)


def is_finished(folder: pathlib.Path) -> bool:
    return (folder / SUMMARY_FILE).exists()


def read_run(folder: pathlib.Path) -> Run | None:
    """The files of a run; None if it was never evaluated.

    The summary of a run that is not finished has its results so far, and `finished` is False.

    Raises:
      UserError: a file cannot be read.
    """
    try:
        return _read(folder)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"The run {folder} cannot be read ({error}); fix or move it.") from error


def _read(folder):
    metrics = read_metrics(folder / METRICS_FILE) if (folder / METRICS_FILE).exists() else []
    if is_finished(folder):
        summary = _read_json(folder / SUMMARY_FILE)
    else:
        summary = _summary_so_far(folder, metrics)
    if summary is None:
        return None
    for name in ("final", "best"):
        if "eval/error_rate" not in summary.get(name, {}):
            raise ValueError(f"{SUMMARY_FILE} has no {name} error")
        summary[name] = _with_nan(summary[name])
    return Run(
        config=flatten(_read_json(folder / CONFIG_FILE)),
        summary=summary,
        metrics=metrics,
        instruments=_read_instruments(folder),
    )


def _read_json(file):
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file.name} has no names and values")
    return found


def _with_nan(value):
    """Replaces null, which stands for numbers that JSON lacks, by nan."""
    if isinstance(value, dict):
        return {name: _with_nan(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_nan(entry) for entry in value]
    return math.nan if value is None else value


def _summary_so_far(folder, metrics):
    evaluations = [line for line in metrics if "eval/error_rate" in line]
    if not evaluations:
        return None
    timings = read_metrics(folder / TIMINGS_FILE) if (folder / TIMINGS_FILE).exists() else []
    speeds = [t["time/images_per_second"] for t in timings if "time/images_per_second" in t]
    return {
        "finished": False,
        "final": evaluations[-1],
        "best": min(evaluations, key=lambda line: line["eval/error_rate"]),
        "images_per_second": speeds[-1] if speeds else None,
    }


def _read_instruments(folder):
    files = folder / DIAGNOSTICS_FOLDER
    found = {}
    for name, file in (("sharpness", SHARPNESS_FILE), ("diagnose", DIAGNOSE_FILE)):
        if (files / file).exists():
            found[name] = _with_nan(_read_json(files / file))
    if (folder / SPARSITY_TABLE).exists():
        found["sparsity"] = (folder / SPARSITY_TABLE).read_text()
    pictures = {title: files / file for title, file in _PICTURES.items()}
    found["pictures"] = {t: file.read_bytes() for t, file in pictures.items() if file.exists()}
    return found
