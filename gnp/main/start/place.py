"""Where a run is: in a folder of its own, or in the one that an earlier start of it has made."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from gnp.ds_pipeline.build import filled_in
from gnp.errors import UserError
from gnp.main.config import changed, default_config, origin_of
from gnp.main.saved.run_data import defaults_of_older_runs
from gnp.runs.config_file import CONFIG_FILE, flatten, plain, read_config
from gnp.runs.folder import differences, folder_of_its_own
from gnp.runs.naming import reference_path, short_path
from gnp.training import parallel
from gnp.training.run_devices import fields_to_choose

_REFUSED = -1


class Place(NamedTuple):
    """A run and its folder.

    Attributes:
      folder: it may not exist.
      config: of the run from now on, with `dataset.num_classes` and `num_channels` of the data.
      kept: the config that the folder holds, if it holds one; another than `config` where fields
        are changed while the run trains.
      remarks: sentences for the log and the user.
    """

    folder: pathlib.Path
    config: Any
    kept: Any
    remarks: Sequence[str] = ()


def place_of(config: Any, working_dir: pathlib.Path) -> Place:
    """The place of the run that a config asks for. Every process must call it.

    The folder is named by what differs from the config file. If another run has it, such as that
    of a config file of the same name, or of the same file with other values, a hash is added to the
    name. A run that an older version began, in the reference's long path, stays there, and so does
    the run whose own `config.json` is given. The first process looks, and the others take what it
    has found.

    Args:
      config: the resolved config; the names in it are known to exist.
      working_dir: the folder that runs are put into.

    Raises:
      UserError: the data do not say what is unset; or a folder is damaged, or cannot be used.
    """
    filled = filled_in(config)
    older = reference_path(filled, working_dir)
    if config.run_path == "reference":
        return _as_it_is_now(older, filled)
    defaults = defaults_of_older_runs(filled)
    origin = origin_of(config)
    named = short_path(
        plain(config),
        stem=origin.stem,
        usual=origin.fields,
        known=plain(default_config()),
        working_dir=working_dir,
    )
    candidates = [named, folder_of_its_own(named, filled, defaults), older]
    if origin.run and working_dir.absolute() in origin.run.parents:
        candidates.append(origin.run)
    others: list[Any] = [None]
    chosen = _REFUSED
    try:
        if jax.process_index() == 0:
            others = [_differences(path, filled, defaults) for path in candidates]
            chosen = _choice(others)
    finally:
        chosen = parallel.agree(chosen)
    if chosen == _REFUSED:
        raise UserError("The first process has refused the run; see what it says.")
    place = _as_it_is_now(candidates[chosen], filled)
    return place._replace(remarks=(*_remarks(candidates, chosen, others[0]), *place.remarks))


def _differences(path, config, defaults):
    try:
        may_be_set = fields_to_choose(config, path)
        return differences(path, config, defaults=defaults, may_be_set=may_be_set)
    except UserError:
        if not config.retrain:
            raise
        return []  # what is damaged there is going to be deleted


def _choice(others):
    """The first folder that holds this run; else the first in which no run has begun."""
    for wanted in ([], None):
        for index, found in enumerate(others[:2] if wanted is None else others):
            if found == wanted:
                return index
    return 1


def _remarks(candidates, chosen, others):
    if chosen == 1 and others:
        return [
            f"{candidates[0]} holds a run with another config ({'; '.join(others)}), so that this "
            f"run is in {candidates[1]}."
        ]
    if chosen == 2:
        return [f"The run was begun by an older version, and stays in {candidates[2]}."]
    return []


def _as_it_is_now(folder, config):
    """The place of a run with what was changed of its config while it trained."""
    if config.retrain or not (folder / CONFIG_FILE).exists():
        return Place(folder, config, config)
    kept = read_config(folder / CONFIG_FILE)
    given, now = plain(config), flatten(kept.fields)
    values = {
        field: now[field]
        for field, before in kept.values_before().items()
        if given.get(field) in before and given.get(field) != now.get(field)
    }
    if not values:
        return Place(folder, config, config)
    config = changed(config, values)
    said = ", ".join(f"{field} = {value}" for field, value in values.items())
    return Place(
        folder,
        config,
        config,
        (f"{folder} was changed while it trained ({said}), and continues as changed.",),
    )
