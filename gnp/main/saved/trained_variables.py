"""The variables of a trained model, and the classes that it was trained for."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gnp.errors import UserError
from gnp.files import read_json
from gnp.model.weights import load_weights
from gnp.runs.data_file import read_run_data
from gnp.runs.folder import CONFIG_FILE
from gnp.training.checkpoints.saved_variables import read_newest_variables

_OF_AVERAGES = "eval_ema/"


class Trained(NamedTuple):
    """What a run, a checkpoint or a file holds.

    Attributes:
      variables: `params` and `batch_stats`.
      class_names: in the order of the labels; None: unknown.
      is_average: whether the variables are moving averages.
    """

    variables: Mapping[str, Any]
    class_names: Sequence[str] | None
    is_average: bool = False


def read_trained(path: pathlib.Path, which: str = "") -> Trained:
    """Reads a run's newest checkpoint, a checkpoint, or a .npz file of `gnp.main.convert`.

    Args:
      path: the run's folder, the checkpoint's folder, or the file.
      which: `raw`, the parameters as training left them, or `ema`, their moving averages; "":
        those that `best_metric` of the run measures.

    Raises:
      UserError: it is damaged, or has no such parameters.
    """
    if not path.is_dir():
        if which:
            raise UserError(
                f"{path} holds one set of weights; leave init_from_weights empty, or name a run."
            )
        weights = load_weights(path)
        return Trained(weights.variables, weights.class_names)
    run = run_of(path)
    is_average = which == "ema"
    if not which:
        is_average = run is not None and _is_measured_by_averages(run)
    data = run and read_run_data(run)
    variables = read_newest_variables(path, ema=is_average)
    return Trained(variables, data and data.class_names, is_average)


def run_of(path: pathlib.Path) -> pathlib.Path | None:
    """The folder of the run that a folder is of, itself or a checkpoint in it; None: of no run."""
    path = path.absolute()
    candidates = [path, *path.parents[1:2]]
    return next((folder for folder in candidates if (folder / CONFIG_FILE).is_file()), None)


def _is_measured_by_averages(run):
    metric = read_json(run / CONFIG_FILE).get("best_metric")
    return isinstance(metric, str) and metric.startswith(_OF_AVERAGES)
