"""Which checkpoint of a run a command takes, and the variables in it."""

import contextlib
import logging
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from gnp.errors import UserError, reason, unknown_name
from gnp.files import read_json
from gnp.runs.folder import CHECKPOINTS_FOLDER, CONFIG_FILE
from gnp.training.checkpoints.checkpoint_files import (
    DamagedError,
    as_position,
    best_step,
    read_evaluation,
    read_position,
    saved_steps,
)
from gnp.training.checkpoints.saved_variables import average_variables, read_variables
from gnp.training.settings.around_steps import SavingSettings

# Which of a checkpoint's variables: as training left them, or their moving averages.
WEIGHTS = ("raw", "ema")

_AVERAGE = "average:"
_OF_AVERAGES = "eval_ema/"

_log = logging.getLogger(__name__)


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
      folder: the run's folder.
      config: its config.
      checkpoint: as of `chosen_steps`.
      ema: take their moving averages.

    Returns:
      `params` and `batch_stats`, as numpy arrays, and the step of the last checkpoint read.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    steps = chosen_steps(checkpoint, folder, SavingSettings.from_config(config))
    return read_mean(folder, steps, ema=ema), steps[-1]


def read_mean(folder: pathlib.Path, steps: Sequence[int], *, ema: bool) -> dict[str, Any]:
    """The mean of the variables in some checkpoints of a run.

    Raises:
      UserError: one of them is damaged, or has no moving averages.
    """

    def read(step):
        with naming_damage(folder, step):
            return read_variables(folder / CHECKPOINTS_FOLDER / str(step), ema=ema)

    return average_variables(map(read, steps))


def chosen_steps(which: str, run: pathlib.Path, saving: SavingSettings) -> list[int]:
    """The steps of the checkpoints that are meant.

    Args:
      which: `best`, `last`, a step, or `average:N`, the last N.
      run: the run's folder.
      saving: of its config.

    Raises:
      UserError: there is no such checkpoint.
    """
    folder = run / CHECKPOINTS_FOLDER
    steps = saved_steps(folder)
    if not steps:
        raise UserError(f"There is no checkpoint in {folder} yet.")
    if which == "last":
        return steps[-1:]
    if which == "best":
        return [_best_step(folder, steps, saving.best_metric)]
    number = which.removeprefix(_AVERAGE)
    if is_mean(which) and re.fullmatch("[0-9]{1,9}", number):
        return _last_steps(steps, int(number), saving.keep_latest)
    if which not in map(str, steps):
        raise unknown_name("checkpoint", which, ["best", "last", f"{_AVERAGE}N", *map(str, steps)])
    return [int(which)]


def is_mean(which: str) -> bool:
    """Whether the name of a checkpoint is that of the mean of several."""
    return which.startswith(_AVERAGE)


@contextlib.contextmanager
def naming_damage(folder: pathlib.Path, step: int) -> Iterator[None]:
    """Turns what a damaged checkpoint raises inside into a `UserError`."""
    try:
        yield
    except (UserError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:  # whatever orbax makes of a damaged file
        raise UserError(
            f"Checkpoint {step} in {folder / CHECKPOINTS_FOLDER} cannot be read ({reason(error)}); "
            "it may be damaged, so name another by --checkpoint."
        ) from error


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
    if _own_metric(folder.parent, best_metric) == best_metric:
        value = read_evaluation(folder / str(best))[best_metric]
        _warn_if_run_was_better(folder / str(steps[-1]), best, value)
    return best


def _own_metric(run, default):
    """The run's own `best_metric`; the default if it keeps no config."""
    file = run / CONFIG_FILE
    return read_json(file).get("best_metric", default) if file.exists() else default


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
