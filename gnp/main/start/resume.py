"""`--resume=RUN`: a run continues wherever it lies, and a few of its fields may be changed."""

import pathlib
from collections.abc import Sequence
from typing import Any

from gnp.errors import UserError
from gnp.main.config import changed, load_config
from gnp.main.fields.values import shown
from gnp.main.saved.run_data import defaults_of_older_runs
from gnp.main.saved.saved_run import folder_of_run
from gnp.main.start.place import Place
from gnp.runs.config_file import (
    CONFIG_FILE,
    Change,
    flatten,
    plain,
    read_config,
    record_changes,
)
from gnp.runs.folder import SUMMARY_FILE
from gnp.runs.naming import is_free
from gnp.training.run_devices import fields_to_choose

_LENGTH, _PATIENCE = "total_epochs", "early_stopping_patience"

# What may change while a run trains; besides these, fields that have no influence on the result.
CHANGEABLE = (
    *("base_lr", _LENGTH, _PATIENCE, "evaluate_every_n_epochs"),
    *("save_ckpt_every_n_epochs", "save_ckpt_every_n_steps", "save_ckpt_every_n_minutes"),
)


def place_to_resume(path: pathlib.Path, overrides: Sequence[str]) -> Place:
    """The place of a run that continues, perhaps with other values of some fields.

    Args:
      path: the folder of the run.
      overrides: those fields, as of `load_config`.

    Raises:
      UserError: it is no run, or a field may not change; says why.
    """
    folder = folder_of_run(path)
    kept = _config_of(folder)
    config = changed(kept, overrides)
    was, now = plain(kept), plain(config)
    changes = [field for field in now.keys() | was.keys() if now.get(field) != was.get(field)]
    for field in sorted(changes):
        _check(field, was.get(field), now.get(field), folder, fields_to_choose(config, folder))
    if (folder / SUMMARY_FILE).exists():
        _check_effect_after_end(changes, kept, folder)
    return Place(folder, config, kept, _remarks(kept, config))


def recorded_changes(folder: pathlib.Path, config: Any, step: int) -> list[Change]:
    """`record_changes` of a run, which is not finished any more if its end has moved."""
    changes = record_changes(folder, config, step)
    if any(change.field in (_LENGTH, _PATIENCE) for change in changes):
        (folder / SUMMARY_FILE).unlink(missing_ok=True)
    return changes


def _remarks(kept, config):
    if config.total_epochs == kept.total_epochs:
        return []
    return [
        f"The run has {config.total_epochs} epochs instead of {kept.total_epochs}: what is "
        "scheduled over its length, such as a cosine, has from the next step on the value that it "
        f"has there in a run of {config.total_epochs} epochs."
    ]


def _config_of(folder):
    """The config of a run as it is now; what an older version did not write, as it was then."""
    config = changed(load_config(str(folder / CONFIG_FILE)), {"retrain": False})
    written, now = flatten(read_config(folder / CONFIG_FILE).fields), plain(config)
    older = {
        field: value
        for field, value in plain(defaults_of_older_runs(config)).items()
        if field not in written and value != now[field]
    }
    return changed(config, older)


def _check(field, old, new, folder, may_be_set):
    if field == "retrain":
        raise UserError(
            f"--resume continues the run in {folder}, and retrain=True would delete it; leave one "
            "of them out."
        )
    is_set_now = field in may_be_set and old is None
    if field == "run_path" or not (field in CHANGEABLE or is_free(field) or is_set_now):
        raise UserError(
            f"{field} is {shown(old)} in {folder} and cannot become {shown(new)} while the run "
            f"trains; --resume can change {', '.join(CHANGEABLE)} and logging.*, and a new run "
            "with other settings can start from this one's weights by --config.init_from."
        )
    if field == _LENGTH and new < old:
        raise UserError(
            f"total_epochs is {old} in {folder} and cannot become {new}, as --resume only makes a "
            "run longer; train a shorter one by --config and --working_dir."
        )


def _check_effect_after_end(changes, kept, folder):
    """Of a finished run only the end can be moved; nothing else would have an effect."""
    idle = sorted(field for field in changes if not is_free(field))
    if idle and not {_LENGTH, _PATIENCE} & set(idle):
        raise UserError(
            f"{folder} is finished, so that {idle[0]} would have no effect; set total_epochs to "
            f"more than its {kept.total_epochs} too."
        )
