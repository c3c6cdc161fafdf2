"""A run's folder as commands read it: its config, model, data and the state of a checkpoint."""

import pathlib
from typing import Any, NamedTuple

from absl import flags
from flax import linen as nn

from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError, unknown_name
from gnp.main import config
from gnp.main.build import build_model, build_source
from gnp.optimizer.build import build_optimizer
from gnp.training import parallel
from gnp.training.loop import CHECKPOINTS_FOLDER, open_checkpoints
from gnp.training.run_folder import CONFIG_FILE
from gnp.training.state import TrainState, create_state


class SavedRun(NamedTuple):
    """A model with its data, as training left it or as it is before training.

    Attributes:
      settings: the config.
      model: the classifier.
      source: the data set.
      state: on all devices.
      step: steps that the state has taken.
    """

    settings: Any
    model: nn.Module
    source: DataSource
    state: TrainState
    step: int


def define_flags() -> None:
    """The flags of a command that reads a run."""
    flags.DEFINE_string("run", None, "The folder of the run.")
    flags.DEFINE_string(
        "checkpoint", "best", "Which checkpoint: best by its evaluation, last, or a step."
    )


def folder_from_flags() -> pathlib.Path:
    """The folder that --run names.

    Raises:
      UserError: it is missing, or no run's folder.
    """
    if not flags.FLAGS.run:
        raise UserError("--run is missing; name the folder of a run.")
    folder = pathlib.Path(flags.FLAGS.run).absolute()
    if not (folder / CONFIG_FILE).exists():
        raise UserError(f"{folder} holds no {CONFIG_FILE}; name the folder of a run.")
    return folder


def settings_of(folder: pathlib.Path) -> Any:
    """The config of a run, with the fields that the command line sets."""
    return config.load_config(str(folder / CONFIG_FILE), config.overrides())


def open_run(folder: pathlib.Path, settings: Any, checkpoint: str) -> SavedRun:
    """A run at one of its checkpoints.

    Args:
      folder: the run's folder.
      settings: its config, the data set perhaps another.
      checkpoint: `best`, `last` or a step.

    Raises:
      UserError: there is no such checkpoint, or it does not fit the config.
    """
    fresh = untrained(settings)
    with open_checkpoints(settings, folder, read_only=True) as checkpoints:
        step = _step(checkpoints, checkpoint, folder)
        state, _ = checkpoints.restore(step, fresh.state)
    return fresh._replace(state=state, step=step)


def untrained(settings: Any) -> SavedRun:
    """What a config names before its first step."""
    model, source = build_model(settings), build_source(settings)
    state = create_state(
        model,
        build_optimizer(settings.opt.opt_type, settings.opt.opt_params),
        image_shape=source.image_shape,
        init_seed=settings.init_seeds,
        seed=settings.seeds,
        with_reuse=settings.gnp.reuse > 0,
    )
    return SavedRun(settings, model, source, parallel.replicate(state), step=0)


def _step(checkpoints, which, folder):
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"There is no checkpoint in {folder / CHECKPOINTS_FOLDER} yet.")
    if which == "last":
        return steps[-1]
    if which == "best":
        return checkpoints.best_step() or steps[-1]
    if not which.isdigit() or int(which) not in steps:
        raise unknown_name("checkpoint", which, ["best", "last", *map(str, steps)])
    return int(which)
