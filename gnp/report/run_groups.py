"""Runs in groups that differ in their seeds alone, and a short name for each group."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from gnp.report.table import aligned

# Fields that differ between the runs of one group: the seeds of the initial parameters, of training
# and of the noise in the labels.
SEED_FIELDS = ("init_seeds", "seeds", "dataset.label_noise_seed")
# These too have no influence on a comparison.
_NOT_COMPARED = (
    *SEED_FIELDS,
    "retrain",
    "run_path",
    "write_config_to_json",
    "profile_steps",
    "interrupt_exit_code",
    "save_ckpt_",
    "logging.",
)
# A name has a path only where nothing else distinguishes two groups.
_PATHS = (
    "dataset.data_dir",
    "tfds_dir",
    "imagenet_train_dir",
    "imagenet_val_dir",
    "model.model_module",
    "modules",
)
_R, _ALPHA = "gnp.r", "gnp.alpha"
# Fields of the gradient-norm penalty: without effect where it is off.
_PENALTY = ("gnp.", "gr_warmup_strategy", "use_hybrid_training", "hybrid_config.")
# The form of the penalty that the paper has; another form is named beside standard training.
_USUAL_FORM = {"gnp.mode": "two_pass", "gnp.ascent": "gradient"}
# Ascents whose α can only be 1, so that it is no news.
_ONE_PASS = ("momentum", "momentum_descent", "stale")
# Ends of the fields that switch another penalty on.
_STRENGTHS = (".strength", ".strengths", ".limits")
_OTHER_PENALTIES = "regularization."
# Fields whose value says enough without the name of the field.
_SELF_EXPLAINING = ("model.model_name", "dataset.dataset_name", "opt.opt_type", "changed")
# Values that a name omits where the rest of it is unique.
_OFF = (None, False, 0, "", "none", "unchanged", (), [])

_STANDARD = "standard"
# Longer names lose fields that are not needed to distinguish the groups.
_LONGEST_NAME = 60

Seeds = tuple[int, ...]
Groups = Mapping[str, Sequence["Run"]]


class _NoEffect:
    """The value of a field that changes nothing in a run."""

    def __repr__(self):
        return "—"


_NO_EFFECT = _NoEffect()


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
      config: its config, the names of nested fields joined by dots. A field `changed` more says
        what was changed while the run trained, as in "base_lr=0.1->0.05@step40".
      summary: the content of its `summary.json`.
      metrics: the lines of its `metrics.jsonl`.
      instruments: what else the run has, where it exists: `sharpness`, `diagnose` and `data`, the
        content of these files; `sparsity`, a table as text; `pictures`, PNG files by title.
    """

    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    metrics: Sequence[Mapping[str, float]]
    instruments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def seeds(self) -> Seeds:
        """The values of `SEED_FIELDS`."""
        return tuple(self.config.get(field, 0) for field in SEED_FIELDS)


def is_standard(config: Mapping[str, Any]) -> bool:
    """Whether a run trains without the gradient-norm penalty and without any other penalty."""
    return not _is_penalized(config) and not any(
        value
        for field, value in config.items()
        if field.startswith(_OTHER_PENALTIES) and field.endswith(_STRENGTHS)
    )


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Groups the runs that differ in their seeds alone.

    Returns:
      The groups by name. The first is the reference: standard training if there is such a group.
      A name lists the fields in which the groups differ, such as "standard", "r=1 alpha=0.8" and
      "SAM r=0.5". Fields that are off, or have the value of most groups, are omitted where the
      name stays unique.
    """
    fields = differing_fields(runs)
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: _order(run, fields)):
        groups.setdefault(_key(run, fields), []).append(run)
    return dict(zip(_name_groups(list(groups.values())).names, groups.values(), strict=True))


def is_compared(field: str) -> bool:
    """Whether runs of one group have the same value of a field."""
    return not field.startswith(_NOT_COMPARED)


def differing_fields(runs: Sequence[Run]) -> list[str]:
    """The fields that differ between runs, except seeds and fields without effect."""
    fields = sorted({field for run in runs for field in run.config}, key=_rank)
    return [
        field
        for field in fields
        if is_compared(field)
        and len({repr(v) for run in runs if (v := _value(run, field)) is not _NO_EFFECT}) > 1
    ]


def differences(groups: Groups) -> list[list[Any]]:
    """The name and the values of each field that differs between the groups."""
    fields = differing_fields([run for runs in groups.values() for run in runs])
    return [[field, *(_value(runs[0], field) for runs in groups.values())] for field in fields]


def format_differences(groups: Groups) -> str:
    """The differing fields as a Markdown table; empty if the groups' names show them all."""
    if not _name_groups(list(groups.values())).hidden:
        return ""
    return aligned(["field", *groups], [list(map(str, row)) for row in differences(groups)])


def references(groups: Groups) -> dict[str, str | None]:
    """For each group the name of the group that it is compared with; None for a reference.

    A group with a penalty is compared with standard training of otherwise equal settings, such as
    the same data and model. Where there is none, and for standard training that is nobody's
    reference, the first group is the reference.
    """
    runs = {name: group[0] for name, group in groups.items()}
    fields = differing_fields([run for group in groups.values() for run in group])
    others = [field for field in fields if not field.startswith((*_PENALTY, _OTHER_PENALTIES))]
    standard = {_key(run, others): name for name, run in runs.items() if is_standard(run.config)}
    first = next(iter(groups))
    found = {
        name: None if is_standard(run.config) else standard.get(_key(run, others), first)
        for name, run in runs.items()
    }
    used = {first, *found.values()}
    return {name: None if name in used else found[name] or first for name in groups}


class _Naming(NamedTuple):
    """Names of groups, and the fields that differ although no name shows them."""

    names: list[str]
    hidden: list[str]


def _name_groups(groups):
    firsts = [runs[0] for runs in groups]
    fields = differing_fields([run for runs in groups for run in runs])
    shown = list(fields)
    for path in _PATHS:
        shown = _without(path, shown, firsts)
    paths = set(fields) - set(shown)
    names = _names(firsts, shown)
    if len(names) > 1:
        for field in reversed(fields):
            if max(map(len, names)) > _LONGEST_NAME:
                shown = _without(field, shown, firsts)
                names = _names(firsts, shown)
        if max(map(len, names)) > _LONGEST_NAME:
            shown, names = [], [f"config {number}" for number in range(1, len(names) + 1)]
    return _Naming(names, [field for field in fields if field not in {*shown, *paths}])


def _without(field, fields, runs):
    """The fields without one of them, if the others still distinguish the runs."""
    fewer = [other for other in fields if other != field]
    return fewer if len({_key(run, fewer) for run in runs}) == len(runs) else fields


def _names(runs, fields):
    """A name for each run of a list in which no two runs agree in all fields."""
    if not fields:
        config = runs[0].config
        return [f"{config.get('model.model_name')} on {config.get('dataset.dataset_name')}"]
    some_standard = 0 < sum(is_standard(run.config) for run in runs) < len(runs)
    known = {field for run in runs for field in run.config}
    short = {field: short_name(field, known) for field in fields}
    usual = {field: _usual_value(runs, field) for field in fields}

    def name(run, *, in_full):
        method = _method(run, fields, some_standard)
        rest = [f for f in fields if f not in (_R, _ALPHA)]
        values = {f: v for f in rest if (v := _value(run, f)) is not _NO_EFFECT}
        parts = [
            _text(value) if field in _SELF_EXPLAINING else f"{short[field]}={_text(value)}"
            for field, value in values.items()
            if in_full or value not in (*_OFF, usual[field])
        ]
        return " ".join([*method, *parts])

    names = [name(run, in_full=False) for run in runs]
    return [
        short_name if short_name and names.count(short_name) == 1 else name(run, in_full=True)
        for run, short_name in zip(runs, names, strict=True)
    ]


def _usual_value(runs, field):
    """The value that most of the runs have; `_NO_EFFECT` if no value is that of most."""
    values = [v for run in runs if (v := _value(run, field)) is not _NO_EFFECT]
    commonest = max(values, key=values.count, default=_NO_EFFECT)
    return commonest if values.count(commonest) > len(values) / 2 else _NO_EFFECT


def _method(run, fields, some_standard):
    """The parts of a name that say how a run is penalized."""
    config = run.config
    if is_standard(config):
        return [_STANDARD] if some_standard else []
    if not _is_penalized(config):
        return []
    form = {field: config.get(field, usual) for field, usual in _USUAL_FORM.items()}
    r = [f"r={_text(config[_R])}"] if _R in fields else []
    unusual = [
        f"{field.removeprefix('gnp.')}={value}"
        for field, value in form.items()
        if some_standard and field not in fields and value != _USUAL_FORM[field]
    ]
    if _ALPHA not in fields or form["gnp.ascent"] in _ONE_PASS:
        return [*r, *unusual]
    if config[_ALPHA] == 1 and form["gnp.mode"] == "two_pass" and form["gnp.ascent"] != "random":
        return ["SAM", *r, *unusual]
    return [*r, f"alpha={_text(config[_ALPHA])}", *unusual]


def short_name(field: str, known: Collection[str]) -> str:
    """The shortest end of a field's dotted name that none of the other known names has."""

    def ends(name):
        parts = name.split(".")
        return [".".join(parts[start:]) for start in reversed(range(len(parts)))]

    return next(
        end
        for end in ends(field)
        if end == field or sum(end in ends(other) for other in known) == 1
    )


def _text(value):
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).replace(" ", "")


def _is_penalized(config):
    return bool(config.get(_R)) and bool(config.get(_ALPHA))


def _value(run, field):
    if field.startswith(_PENALTY) and not _is_penalized(run.config):
        return 0.0 if field in (_R, _ALPHA) else _NO_EFFECT
    return run.config.get(field, "unchanged" if field == "changed" else None)


def _key(run, fields):
    return tuple(repr(_value(run, field)) for field in fields)


def _rank(field):
    """Orders fields: r and alpha first, then by name."""
    return (field not in (_R, _ALPHA), field != _R, field)


def _order(run, fields):
    """Orders runs: standard ones first, then by the values of the fields, off before on."""

    def comparable(value):
        is_number = isinstance(value, int | float)
        is_off = value is _NO_EFFECT or value in _OFF
        return (not is_off, not is_number, value if is_number else 0, repr(value))

    values = [comparable(_value(run, field)) for field in fields]
    return not is_standard(run.config), _is_penalized(run.config), values
