"""Finds the runs below some folders, and reads their files."""

import contextlib
import glob
import math
import os
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from gnp.errors import UserError
from gnp.files import read_bytes, read_json, read_text
from gnp.report.run_groups import SEED_FIELDS, Run, is_compared
from gnp.report.sparsity import SPARSITY_TABLE
from gnp.runs.checked import (
    check,
    number,
    numbers,
    numbers_by_name,
    positive,
    text,
    text_or_nothing,
    texts_by_name,
    whole,
)
from gnp.runs.config_file import CONFIG_FILE, flatten, read_config
from gnp.runs.data_file import DATA_FILE
from gnp.runs.folder import (
    DIAGNOSE_FILE,
    DIAGNOSE_PICTURE,
    DIAGNOSTICS_FOLDER,
    LANDSCAPE_FILES,
    METRICS_FILE,
    SHARPNESS_FILE,
    SPECTRUM_PICTURE,
    SUMMARY_FILE,
    TIMINGS_FILE,
)
from gnp.runs.metrics import best_evaluation, read_metrics_if_any

_PICTURES = {
    "Spectrum of the Hessian": SPECTRUM_PICTURE,
    "Loss along a line": pathlib.Path(LANDSCAPE_FILES[1]).with_suffix(".png"),
    "Loss over a plane": pathlib.Path(LANDSCAPE_FILES[2]).with_suffix(".png"),
    "Loss between two checkpoints": pathlib.Path(LANDSCAPE_FILES["to"]).with_suffix(".png"),
    "Layers": DIAGNOSE_PICTURE,
}

# What is read of each file.
_CONFIG = {
    **{f"{field}?": whole for field in SEED_FIELDS},
    **{"total_epochs?": positive, "evaluate_every_n_epochs?": positive, "best_metric?": text},
}
_EVALUATION = {"eval/error_rate": number}
_SUMMARY = {
    **{"final": numbers_by_name, "best": numbers_by_name, "steps?": number, "seconds?": number},
    **{"images_per_second?": number, "device?": text},
    **{"ended?": text, "versions?": texts_by_name, "git_commit?": text_or_nothing},
}
_SHARPNESS = {
    **dict.fromkeys(("worst_case_rise", "mean_rise", "trace", "gradient_norm", "loss"), number),
    **{"eigenvalues": numbers, "num_images": number, "data": text},
    "settings": {"r": number, "m": number, "sigma": number},
}
_DATA = {
    "num_train_images?": whole,
    "label_noise?": {"changed": whole, "num_images": positive},
}
_DIAGNOSIS = {"step": number, "chain": {"gain": number, "product": number, "verdict": text}}


class FoundRuns(NamedTuple):
    """What some folders hold.

    Attributes:
      runs: those that were evaluated.
      in_training: a line on each that is not finished.
      skipped: a line on each that cannot be read.
      incomplete: a line on each whose curves end too early.
    """

    runs: list[Run]
    in_training: list[str]
    skipped: list[str]
    incomplete: list[str]


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


def read_runs(folders: Iterable[pathlib.Path]) -> FoundRuns:
    """Reads runs; one that cannot be read is in nobody's way."""
    found = FoundRuns([], [], [], [])
    for folder in folders:
        try:
            run = read_run(folder)
            metrics = run.metrics if run else read_metrics_if_any(folder / METRICS_FILE)
        except UserError as error:
            found.skipped.append(f"Skipped, because {error}")
            continue
        step = metrics[-1]["step"] if metrics else 0
        if run is None or run.summary.get("finished") is False:
            found.in_training.append(f"step {step:,}: {folder}")
        elif step < (steps := run.summary.get("steps") or 0):
            found.incomplete.append(
                f"{folder / METRICS_FILE} ends at step {step} of {steps}; the curves lack the rest."
            )
        if run is not None:
            found.runs.append(run)
    return found


def read_run(folder: pathlib.Path) -> Run | None:
    """The files of a run; None if it was never evaluated.

    The summary of a run that is not finished has its results so far, and `finished` is False.

    Raises:
      UserError: a file is damaged or cannot be read.
    """
    config = _config(folder)
    check(config, _CONFIG, folder / CONFIG_FILE)
    metrics = read_metrics_if_any(folder / METRICS_FILE)
    if is_finished(folder):
        summary = read_summary(folder / SUMMARY_FILE)
    else:
        summary = _summary_so_far(folder, metrics, config.get("best_metric", "eval/error_rate"))
    if summary is None:
        return None
    return Run(config, summary | {"folder": str(folder)}, metrics, _read_instruments(folder))


def _config(folder):
    """The fields by their dotted names; what was changed while the run trained is one more."""
    kept = read_config(folder / CONFIG_FILE)
    changes = [change for change in kept.history if is_compared(change.field)]
    changed = ";".join(f"{c.field}={c.old}->{c.new}@step{c.step}" for c in changes)
    return flatten(kept.fields) | ({"changed": changed} if changed else {})


def read_summary(file: pathlib.Path) -> dict[str, Any]:
    """What `summary.json` holds.

    Raises:
      UserError: it is damaged.
    """
    summary = read_json(file)
    check(summary, _SUMMARY | {"final": _EVALUATION, "best": _EVALUATION}, file)
    check(summary, _SUMMARY, file)
    evaluations = {name: _with_nan(summary[name]) for name in ("final", "best")}
    return summary | evaluations | {"finished": True}


def _with_nan(value):
    """Replaces null, which stands for numbers that JSON lacks, by nan."""
    if isinstance(value, dict):
        return {name: _with_nan(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_nan(entry) for entry in value]
    return math.nan if value is None else value


def _summary_so_far(folder, metrics, best_metric):
    evaluations = [line for line in metrics if "eval/error_rate" in line]
    if not evaluations:
        return None
    timings = read_metrics_if_any(folder / TIMINGS_FILE)
    speeds = [t["time/images_per_second"] for t in timings if "time/images_per_second" in t]
    return {
        "finished": False,
        "final": evaluations[-1],
        "best": best_evaluation(metrics, best_metric),
        "images_per_second": speeds[-1] if speeds else None,
    }


def _read_instruments(folder):
    files = folder / DIAGNOSTICS_FOLDER
    found = {}
    for name, file, wanted in (
        ("sharpness", files / SHARPNESS_FILE, _SHARPNESS),
        ("diagnose", files / DIAGNOSE_FILE, _DIAGNOSIS),
    ):
        if os.path.lexists(file):
            content = read_json(file)
            check(content, wanted, file)
            found[name] = _with_nan(content)
    with contextlib.suppress(UserError):  # it gives a sentence its words, and no figure
        data = read_json(folder / DATA_FILE)
        check(data, _DATA, folder / DATA_FILE)
        found["data"] = data
    if os.path.lexists(folder / SPARSITY_TABLE):
        found["sparsity"] = read_text(folder / SPARSITY_TABLE)
    pictures = {title: files / file for title, file in _PICTURES.items()}
    found["pictures"] = {t: read_bytes(file) for t, file in pictures.items() if file.exists()}
    return found
