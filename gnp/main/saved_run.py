"""A run's folder as commands read it: its config, model, data and the state of a checkpoint."""

import contextlib
import logging
import os
import pathlib
import re
from typing import Any, NamedTuple

import jax
from absl import flags
from flax import linen as nn

from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError, reason, unknown_name
from gnp.files import make_folder, read_json
from gnp.main import config as config_flags
from gnp.main.build import build_model, build_run_source
from gnp.runs.data_file import RunData, read_run_data
from gnp.runs.folder import CHECKPOINTS_FOLDER, CONFIG_FILE, DIAGNOSTICS_FOLDER
from gnp.training import parallel
from gnp.training.checkpoint_files import (
    DamagedError,
    as_position,
    best_step,
    read_evaluation,
    read_position,
    saved_steps,
)
from gnp.training.checkpoint_state import restore
from gnp.training.saved_variables import average_variables, read_variables
from gnp.training.settings import Settings, read_settings
from gnp.training.settings_run import SavingSettings
from gnp.training.state import TrainState

# Which of a checkpoint's variables: as training left them, or their moving averages.
WEIGHTS = ("raw", "ema")

_AVERAGE = "average:"
_OF_AVERAGES = "eval_ema/"

_log = logging.getLogger(__name__)


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
    steps = _steps(checkpoint, folder / CHECKPOINTS_FOLDER, fresh.settings.saving)
    with _naming_damage(folder, steps[-1]):
        state, _ = restore(folder / CHECKPOINTS_FOLDER / str(steps[-1]), fresh.state)
    run = fresh._replace(state=state, step=steps[-1])
    if not ema and not checkpoint.startswith(_AVERAGE):
        return run
    variables = average_variables(_read_variables(folder, step, ema) for step in steps)
    averaged = state.with_variables(parallel.replicate(variables))
    return run._replace(state=averaged, averaged=tuple(steps), raw=state)


def is_average(config: Any, weights: str | None) -> bool:
    """Whether `weights`, a name of `WEIGHTS`, is the moving average.

    Args:
      config: of the run, whose `best_metric` decides if `weights` is None.
      weights: what a user has asked for.

    Raises:
      UserError: the name is unknown.
    """
    if weights is None:
        return config.best_metric.startswith(_OF_AVERAGES)
    if weights not in WEIGHTS:
        raise unknown_name("weights", weights, WEIGHTS)
    return weights == "ema"


def read_run_variables(
    folder: pathlib.Path, config: Any, checkpoint: str, *, ema: bool
) -> tuple[dict[str, Any], int]:
    """The variables of a run's model without its data and optimizer, and their step.

    Args:
      folder, config, checkpoint, ema: as of `load_run`.

    Returns:
      `params` and `batch_stats`, as numpy arrays, and the step of the last checkpoint read.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    saving = SavingSettings.from_config(config)
    steps = _steps(checkpoint, folder / CHECKPOINTS_FOLDER, saving)
    return average_variables(_read_variables(folder, step, ema) for step in steps), steps[-1]


def _read_variables(folder, step, ema):
    with _naming_damage(folder, step):
        return read_variables(folder / CHECKPOINTS_FOLDER / str(step), ema=ema)


@contextlib.contextmanager
def _naming_damage(folder, step):
    try:
        yield
    except (UserError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:  # whatever orbax makes of a damaged file
        raise UserError(
            f"Checkpoint {step} in {folder / CHECKPOINTS_FOLDER} cannot be read ({reason(error)}); "
            "it may be damaged, so name another by --checkpoint."
        ) from error


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
    settings = read_settings(config, num_devices=jax.device_count())
    model = build_model(config)
    source = build_run_source(config, trained_on=trained_on, evaluate_on_train=evaluate_on_train)
    state = settings.initial_state(model, source.image_shape)
    return SavedRun(settings, model, source, parallel.replicate(state), step=0)


def _steps(which, folder, saving):
    steps = saved_steps(folder)
    if not steps:
        raise UserError(f"There is no checkpoint in {folder} yet.")
    if which == "last":
        return steps[-1:]
    if which == "best":
        return [_best_step(folder, steps, saving.best_metric)]
    number = which.removeprefix(_AVERAGE)
    if which.startswith(_AVERAGE) and re.fullmatch("[0-9]{1,9}", number):
        return _last_steps(steps, int(number), saving.keep_latest)
    if which not in map(str, steps):
        raise unknown_name("checkpoint", which, ["best", "last", f"{_AVERAGE}N", *map(str, steps)])
    return [int(which)]


def _best_step(folder, steps, best_metric):
    """The step of the best checkpoint. A warning says if it may not be the run's best one."""
    try:
        best = best_step(folder, best_metric)
    except DamagedError as error:
        raise UserError(
            f"The best checkpoint cannot be told ({error}); name one by --checkpoint, or start the "
            "training command, which sets damaged ones aside."
        ) from error
    if best is None:
        _log.warning("No checkpoint in %s has an evaluation; taking the last one.", folder)
        return steps[-1]
    if read_json(folder.parent / CONFIG_FILE).get("best_metric", best_metric) == best_metric:
        value = read_evaluation(folder / str(best))[best_metric]
        _warn_if_run_was_better(folder / str(steps[-1]), best, value)
    return best


def _warn_if_run_was_better(newest, best, value):
    with contextlib.suppress(DamagedError):
        run = as_position(read_position(newest))
        if run.best_value is not None and not value <= run.best_value:
            _log.warning(
                "The run's best evaluation was at step %d, of which there is no checkpoint; taking "
                "the best that there is, that of step %d.",
                run.best_step,
                best,
            )


def _last_steps(steps, number, num_kept):
    # Older than these is only what was kept as the best.
    available = min(len(steps), num_kept)
    if not 1 <= number <= available:
        raise UserError(
            f"The last {number} checkpoints cannot be averaged, there are {available}; a run keeps "
            f"keep_latest_checkpoints, here {num_kept}."
        )
    return steps[-number:]
