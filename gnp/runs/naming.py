"""The name of a run's folder: what differs from the config file, or the reference's long path."""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from gnp.files import require_checkpoint_path
from gnp.report.run_groups import short_name

PATHS = ("short", "reference")

# Fields that may change between two starts of the same run, and are in no name.
_FREE_FIELDS = ("retrain", "profile_steps", "run_path", "interrupt_exit_code")
_FREE_BLOCKS = ("logging.",)

_INIT_SEED, _SEED = "init_seeds", "seeds"
_FIRST = ("gnp.r", "gnp.alpha")

# Longer values are cut, and end in a hash.
_LONGEST_VALUE = 24
# Longer names too; most file systems take 255 bytes.
_LONGEST_NAME = 150
_UNSET = "unset"


def is_free(field: str) -> bool:
    """Whether a field has no influence on the result of a run, so that it may be another now."""
    return field in _FREE_FIELDS or field.startswith(_FREE_BLOCKS)


def short_path(
    config: Mapping[str, Any],
    *,
    stem: str,
    usual: Mapping[str, Any],
    known: Collection[str],
    working_dir: str | os.PathLike,
) -> pathlib.Path:
    """`WORKING_DIR/STEM/NAME`: the name lists the fields that differ from the config file.

        >>> config = {"gnp.r": 0.1, "gnp.alpha": 0.8, "seeds": 0, "init_seeds": 0}
        >>> usual = config | {"gnp.r": 0, "gnp.alpha": 0}
        >>> short_path(config, stem="digits", usual=usual, known=config, working_dir="runs")
        PosixPath('runs/digits/r=0.1,alpha=0.8,seed=0')

    Names have letters, digits and `.,=@+-_` only, which shells take as they are.

    Args:
      config: the fields by their dotted names.
      stem: the name of the config file, without its ending.
      usual: the fields as the config file has them.
      known: the names of all fields that any config has, from which a field's short name follows.
      working_dir: the folder that runs are put into.

    Raises:
      UserError: the library that writes checkpoints cannot take the path.
    """
    changed = [
        field
        for field in config.keys() | usual.keys()
        if config.get(field, _UNSET) != usual.get(field, _UNSET)
        if not is_free(field) and field not in (_SEED, _INIT_SEED)
    ]
    parts = [
        f"{_text(_name(field, known), 60)}={_text(config.get(field, _UNSET))}"
        for field in sorted(changed, key=_rank)
    ]
    seeds = _seeds(config)
    name = ",".join([*parts, *seeds])
    if len(name) > _LONGEST_NAME:
        kept = ",".join(parts)[: _LONGEST_NAME - 50].rpartition(",")[0]
        name = with_hash(",".join(filter(None, [kept, *seeds])), name)
    path = pathlib.Path(working_dir, _text(stem, 60), name)
    require_checkpoint_path(path, "choose another --working_dir")
    return path


def with_hash(name: str, content: Any) -> str:
    """A name made unique by a hash of eight digits."""
    return f"{name}@{_hash(content, 8)}"


def reference_path(config: Mapping[str, Any], working_dir: str | os.PathLike) -> pathlib.Path:
    """The path of the reference: one folder level for each main field, whatever the others are.

    Args:
      config: the nested fields.
      working_dir: the folder that runs are put into.

    Raises:
      UserError: the library that writes checkpoints cannot take the path.
    """
    dataset, gnp = config["dataset"], config["gnp"]
    levels = [
        config["model"]["model_name"],
        dataset["dataset_name"],
        f"{dataset['image_level_augmentations']}_{dataset['batch_level_augmentations']}",
        *_label_level(dataset),
        f"lr_{config['base_lr']}",
        f"bs_{config['batch_size']}",
        f"l2reg_{config['l2_regularization']}",
        f"grad_clip_{config['gradient_clipping']}",
        f"opt_{config['opt']['opt_type']}",
        f"warmup_epochs_{config['warmup_epochs']}",
        f"gr_warmup_strategy_{config['gr_warmup_strategy']}",
        f"r_{gnp['r']}",
        f"alpha_{gnp['alpha']}",
        f"epoch_{config['total_epochs']}",
        f"seeds_{config['init_seeds']}_{config['seeds']}",
    ]
    path = pathlib.Path(working_dir, *(level.replace("/", "_") for level in levels))
    require_checkpoint_path(path, "choose another --working_dir")
    return path


def _label_level(dataset):
    """A folder level for wrong labels, where there are any."""
    if dataset.get("label_noise"):
        seed = dataset.get("label_noise_seed")
        noise = f"labels_{dataset['label_noise_kind']}_{dataset['label_noise']}"
        return [f"{noise}_seed_{seed}" if seed else noise]
    file = dataset.get("train_labels")
    return [f"labels_{pathlib.PurePath(file).stem}"] if file else []


def _name(field, known):
    """The shortest end of a field's name that no other one has, whatever the config is.

    A field of a block that takes any name, such as model.model_params, is named with its block.
    """
    if field in known:
        return short_name(field, known)
    parts = field.split(".")
    blocks = (".".join(parts[:count]) for count in range(1, len(parts)))
    closed = sum(any(name.startswith(f"{block}.") for name in known) for block in blocks)
    return ".".join(parts[min(closed, len(parts) - 2) :])


def _seeds(config):
    init_seed, seed = config.get(_INIT_SEED), config.get(_SEED)
    if init_seed == seed:
        return [f"seed={seed}"]
    return [f"{_INIT_SEED}={init_seed}", f"{_SEED}={seed}"]


def _text(value, longest=_LONGEST_VALUE):
    """A value as a part of a name; what does not fit, or could be taken for another, has a hash."""
    if isinstance(value, bool | int | None):
        text = str(value)
    elif isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    elif isinstance(value, str):
        is_word = re.fullmatch(r"[A-Za-z][\w.+-]*", value, re.ASCII)
        text = value if is_word and value not in ("True", "False", "None", _UNSET) else ""
    else:
        text = ""
    if text and len(text) <= longest:
        return text
    path = pathlib.PurePath(value).name if isinstance(value, str) else json.dumps(value)
    start = re.sub(r"[^\w.+]+", "-", path, flags=re.ASCII).strip("-")[:longest].rstrip("-")
    return f"{start or 'x'}@{_hash(value, 6)}"


def _hash(value, digits):
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _rank(field):
    """The radius and the weight of the penalty first, then by name."""
    return (*(field != first for first in _FIRST), field)
