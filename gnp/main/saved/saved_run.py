"""A run's folder as commands read it: its config, model, data and the state of a checkpoint."""

import os
import pathlib
from typing import Any, NamedTuple

import jax
from absl import flags
from flax import linen as nn

from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError
from gnp.files import make_folder
from gnp.main import config as config_flags
from gnp.main.saved.chosen_checkpoint import (
    WEIGHTS,
    chosen_steps,
    is_mean,
    naming_damage,
    read_mean,
)
from gnp.main.start.build import build_model, build_run_source
from gnp.main.start.own_parts import import_modules
from gnp.runs.data_file import RunData, read_run_data
from gnp.runs.folder import CHECKPOINTS_FOLDER, CONFIG_FILE, DIAGNOSTICS_FOLDER
from gnp.training import parallel
from gnp.training.checkpoints.checkpoint_state import restore
from gnp.training.settings.run import Settings, read_settings
from gnp.training.state import TrainState


class SavedRun(NamedTuple):
    """A model with its data, as training left it or as it is before training.

    Attributes:
      settings: what training takes from the run's config.
      model: the classifier.
      source: the data set.
      state: on all devices.
      step: steps that the state has taken.
      averaged: steps of the checkpoints whose variables the state holds the mean of, the last being
        `step`; of one alone, if it holds their moving average.
      raw: where something is averaged, the state as training left it, else None.
    """

    settings: Settings
    model: nn.Module
    source: DataSource
    state: TrainState
    step: int
    averaged: tuple[int, ...] = ()
    raw: TrainState | None = None


def define_flags() -> None:
    """The flags of a command that reads a run."""
    flags.DEFINE_string("run", None, "The folder of the run.")
    flags.DEFINE_string(
        "checkpoint",
        "best",
        "Which checkpoint: best by its evaluation, last, a step, or average:N, the mean of the "
        "last N.",
    )


def define_weights_flag() -> None:
    """The flag of a command that uses a trained model."""
    flags.DEFINE_enum(
        "weights",
        None,
        WEIGHTS,
        "The parameters as training left them, or their moving average over the steps; unset: "
        "those that best_metric of the run measures.",
    )


def define_instrument_flags() -> None:
    """The flags of an instrument that looks at a data set and leaves files."""
    flags.DEFINE_string("data", "train", "The images that are looked at: train or test.")
    flags.DEFINE_string("out", None, "The folder for files; unset: diagnostics in the run's.")


def out_folder(run_folder: pathlib.Path) -> pathlib.Path:
    """The folder that --out names, or that of the run's instruments; it exists.

    Raises:
      UserError: it cannot be created or written.
    """
    return make_folder(flags.FLAGS.out or run_folder / DIAGNOSTICS_FOLDER, "--out")


def folder_from_flags() -> pathlib.Path:
    """The folder that --run names.

    Raises:
      UserError: it is missing, or no run's folder.
    """
    if not flags.FLAGS.run:
        raise UserError("--run is missing; name the folder of a run.")
    return folder_of_run(flags.FLAGS.run)


def folder_of_run(path: str | os.PathLike) -> pathlib.Path:
    """The folder of a run, as an absolute path.

    Raises:
      UserError: it is no run's folder.
    """
    folder = pathlib.Path(path).absolute()
    if not (folder / CONFIG_FILE).exists():
        raise UserError(f"{folder} holds no {CONFIG_FILE}; name the folder of a run.")
    return folder


def config_of(folder: pathlib.Path, *fields: str) -> Any:
    """The config of a run, with the fields that the command line sets, and over them `fields`."""
    overrides = [*config_flags.overrides(), *fields]
    return config_flags.load_config(str(folder / CONFIG_FILE), overrides)


def load_run(
    folder: pathlib.Path,
    config: Any,
    checkpoint: str,
    *,
    ema: bool = False,
    evaluate_on_train: bool = False,
) -> SavedRun:
    """A run at one of its checkpoints.

    Args:
      folder: the run's folder.
      config: its config, the data set perhaps another.
      checkpoint: `best`, `last`, a step, or `average:N` for the mean of the last N checkpoints'
        parameters and batch statistics.
      ema: take the moving averages of parameters and batch statistics.
      evaluate_on_train: make the training images the evaluation set: each once, not augmented.

    Raises:
      UserError: there is no such checkpoint, or it does not fit the config.
    """
    fresh = untrained(config, trained_on=read_run_data(folder), evaluate_on_train=evaluate_on_train)
    steps = chosen_steps(checkpoint, folder, fresh.settings.saving)
    with naming_damage(folder, steps[-1]):
        state, _ = restore(folder / CHECKPOINTS_FOLDER / str(steps[-1]), fresh.state)
    run = fresh._replace(state=state, step=steps[-1])
    if not ema and not is_mean(checkpoint):
        return run
    averaged = state.with_variables(parallel.replicate(read_mean(folder, steps, ema=ema)))
    return run._replace(state=averaged, averaged=tuple(steps), raw=state)


def untrained(
    config: Any, *, trained_on: RunData | None = None, evaluate_on_train: bool = False
) -> SavedRun:
    """What a config names before its first step.

    Args:
      config: the resolved config.
      trained_on: what the model knows whose state is to be put in; None: nothing.
      evaluate_on_train: make the training images the evaluation set: each once, not augmented.

    Raises:
      UserError: a name is unknown, or a field does not fit the others or the devices there are.
    """
    import_modules(config)
    settings = read_settings(config, num_devices=jax.device_count())
    model = build_model(config)
    source = build_run_source(config, trained_on=trained_on, evaluate_on_train=evaluate_on_train)
    state = settings.initial_state(model, source.image_shape)
    return SavedRun(settings, model, source, parallel.replicate(state), step=0)
