"""Where the parameters of a new run come from, if not from chance."""

import logging
import pathlib
from collections.abc import Callable

from flax import linen as nn

from gnp.errors import UserError
from gnp.model.transfer import head_parameters, take_variables
from gnp.model.weights import load_weights
from gnp.training.saved_variables import read_newest_variables

_log = logging.getLogger(__name__)


def starting_point(
    init_from: str, model: nn.Module, image_shape: tuple[int, int, int]
) -> Callable[[dict], dict] | None:
    """What puts the variables that `init_from` names in the place of fresh ones.

    The head, which depends on the number of classes, stays fresh if it has others; the log says so.

    Args:
      init_from: a run's folder (its newest checkpoint), the folder of a checkpoint, or a .npz file
        that `gnp.main.convert` has written; "": nothing.
      model: the new model.
      image_shape: height, width and channels of its images.

    Returns:
      A function of `params` and `batch_stats`, or None. It raises a `UserError` if there are no
      such variables, or if they are of another model.
    """
    if not init_from:
        return None

    def start_from(fresh):
        variables, left_fresh = take_variables(
            fresh,
            _read(pathlib.Path(init_from)),
            head_parameters(model, image_shape),
            f"init_from {init_from!r}",
        )
        _log.info("Starting from the parameters of %s.", init_from)
        if left_fresh:
            _log.warning(
                "Not taken from %s, as their shapes differ: %s; they start afresh.",
                init_from,
                ", ".join(left_fresh),
            )
        return variables

    return start_from


def _read(path):
    if path.is_dir():
        return read_newest_variables(path)
    if path.exists():
        return load_weights(path).variables
    raise UserError(
        f"init_from names {path}, which does not exist; name a run's folder, RUN/checkpoints/STEP "
        "or a .npz file of gnp.main.convert."
    )
