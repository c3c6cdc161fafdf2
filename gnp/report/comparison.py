"""Runs side by side: groups of the same config, and a table of their errors."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from gnp.report.table import aligned

# Fields that tell runs of one group apart, or have no influence on the result.
_NOT_COMPARED = (
    "init_seeds",
    "seeds",
    "retrain",
    "write_config_to_json",
    "profile_steps",
    "interrupt_exit_code",
    "save_ckpt_",
    "logging.",
)
# Paths are named only where nothing else tells two groups apart.
_PATHS = (
    "dataset.data_dir",
    "tfds_dir",
    "imagenet_train_dir",
    "imagenet_val_dir",
    "model.model_module",
)
# Groups with longer names are numbered, and a table says in what they differ.
_LONGEST_NAME = 60

_COLUMNS = ("run", "seeds", "test error (%)", "best (%)", "difference", "images/s")


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
      config: its config, the names of nested fields joined by dots.
      summary: what its `summary.json` holds.
      metrics: the lines of its `metrics.jsonl`.
      instruments: what was measured of it besides, as far as it was: `sharpness` and `diagnose`,
        what their files hold; `sparsity`, a table as text; `pictures`, PNG files by title.
    """

    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    metrics: Sequence[Mapping[str, float]]
    instruments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Puts together the runs that differ in their seeds alone.

    Returns:
      The groups by name, those without a penalty first. A name lists the fields in which the groups
      differ, such as "r=0.1 alpha=0.8"; if that gets long, the names are "config 1", "config 2" ...
    """
    fields = differing_fields(runs)
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: _order(run, fields)):
        groups.setdefault(_values(run, fields), []).append(run)
    named = _named_fields(groups, fields)
    names = [_name(group[0], named) for group in groups.values()]
    if len(names) > 1 and max(map(len, names)) > _LONGEST_NAME:
        names = [f"config {number}" for number in range(1, len(names) + 1)]
    return dict(zip(names, groups.values(), strict=True))


def format_table(groups: Mapping[str, Sequence[Run]]) -> str:
    """The groups' test errors in percent, as a Markdown table.

    Each error is the mean over the seeds, with their sample standard deviation if there are
    several; `best` is the lowest error of all evaluations of a run; `difference` is that of the
    first group's mean error and this one's.
    """
    rows = []
    first = None
    for name, runs in groups.items():
        final = [100 * run.summary["final"]["eval/error_rate"] for run in runs]
        best = [100 * run.summary["best"]["eval/error_rate"] for run in runs]
        mean = statistics.mean(final)
        difference = "" if first is None else f"{mean - first:+.2f}"
        first = mean if first is None else first
        speed = statistics.mean(run.summary["images_per_second"] or 0 for run in runs)
        rows.append(
            (name, str(len(runs)), _spread(final), _spread(best), difference, f"{speed:,.0f}")
        )
    return aligned(_COLUMNS, rows)


def differences(groups: Mapping[str, Sequence[Run]]) -> list[list[Any]]:
    """What the groups do not have in common: for each such field its name and its values."""
    fields = differing_fields([run for runs in groups.values() for run in runs])
    return [[field, *(runs[0].config.get(field) for runs in groups.values())] for field in fields]


def format_differences(groups: Mapping[str, Sequence[Run]]) -> str:
    """The same as a Markdown table; empty if the names of the groups say it already."""
    rows = differences(groups)
    if not rows or all("=" in name for name in groups):
        return ""
    return aligned(["field", *groups], [list(map(str, row)) for row in rows])


def differing_fields(runs: Sequence[Run]) -> list[str]:
    """The fields that are not the same in all runs, but for seeds and what changes no result."""
    fields = sorted({field for run in runs for field in run.config})
    return [
        field
        for field in fields
        if not field.startswith(_NOT_COMPARED)
        and len({repr(run.config.get(field)) for run in runs}) > 1
    ]


def _order(run, fields):
    is_penalized = bool(run.config.get("gnp.r")) and bool(run.config.get("gnp.alpha"))
    return is_penalized, _values(run, fields)


def _values(run, fields):
    return tuple(repr(run.config.get(field)) for field in fields)


def _named_fields(groups, fields):
    """The fields without the paths that can be left out."""
    for path in _PATHS:
        fewer = [field for field in fields if field != path]
        if len({_values(runs[0], fewer) for runs in groups.values()}) == len(groups):
            fields = fewer
    return fields


def _name(run, fields):
    if not fields:
        model, data = (run.config.get(f) for f in ("model.model_name", "dataset.dataset_name"))
        return f"{model} on {data}"
    short = {field: field.rpartition(".")[2] for field in fields}
    names = list(short.values())
    return " ".join(
        f"{short[field] if names.count(short[field]) == 1 else field}={run.config.get(field)}"
        for field in fields
    )


def _spread(values):
    mean = f"{statistics.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"
