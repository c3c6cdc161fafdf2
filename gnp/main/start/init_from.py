"""Where the parameters of a new run come from, if not from chance."""

import logging
import pathlib
from collections.abc import Callable, Sequence

from flax import linen as nn

from gnp.ds_pipeline.source import DataSource
from gnp.errors import UserError
from gnp.main.saved.trained_variables import Trained, read_trained
from gnp.model.transfer import head_parameters, take_variables

_log = logging.getLogger(__name__)


def starting_point(
    init_from: str, weights: str, model: nn.Module, source: DataSource
) -> Callable[[dict], dict] | None:
    """What puts the variables that `init_from` names in the place of fresh ones.

    The head stays fresh if it is for another number of classes or for other classes, and what
    depends on the size of images and patches is resized; the log says so.

    Args:
      init_from: a run's folder (its newest checkpoint), the folder of a checkpoint, or a .npz file
        that `gnp.main.convert` has written; "": nothing.
      weights: which of a run's: `raw`, `ema`, or "" for those that its `best_metric` measures.
      model: the new model.
      source: its data.

    Returns:
      A function of `params` and `batch_stats`, or None. It raises a `UserError` if there are no
      such variables, or if they are of another model.
    """
    if not init_from:
        return None

    def start_from(fresh):
        trained = _read(pathlib.Path(init_from), weights)
        head = head_parameters(model, source.image_shape)
        difference = class_difference(trained.class_names, source.class_names)
        if difference and not head:
            raise UserError(
                f"init_from {init_from!r} was trained with other classes ({difference}), and a "
                "model without num_outputs has no head that could start afresh; choose weights of "
                "the same classes."
            )
        taken = take_variables(
            fresh,
            trained.variables,
            head,
            f"init_from {init_from!r}",
            keeps_head=not difference,
            resizes=True,
        )
        what = "moving averages" if trained.is_average else "parameters"
        _log.info("Starting from the %s of %s.", what, init_from)
        _log_changes(taken, init_from, difference)
        if head and trained.class_names is None and not taken.left_fresh:
            _log.warning(
                "%s does not say which classes it is for; its head is taken as that of these.",
                init_from,
            )
        return taken.variables

    return start_from


def _log_changes(taken, init_from, difference):
    if taken.left_fresh:
        classes = f"it was trained with other classes ({difference})"
        _log.warning(
            "Not taken from %s, as %s: %s; they start afresh.",
            init_from,
            classes if difference else "their shapes differ",
            ", ".join(taken.left_fresh),
        )
    for path, (before, after) in taken.resized.items():
        _log.warning("Resized, from %s to %s: %s of %s.", before, after, path, init_from)


def _read(path: pathlib.Path, weights: str) -> Trained:
    if not path.exists():
        raise UserError(
            f"init_from names {path}, which does not exist; name a run's folder, "
            "RUN/checkpoints/STEP or a .npz file of gnp.main.convert."
        )
    return read_trained(path, weights)


def class_difference(theirs: Sequence[str] | None, ours: Sequence[str]) -> str:
    """How classes differ, in words; empty if they are the same or theirs are not known."""
    if theirs is None or list(theirs) == list(ours):
        return ""
    if len(theirs) != len(ours):
        return f"{len(theirs)} there and {len(ours)} here"
    label = next(label for label, name in enumerate(theirs) if name != ours[label])
    order = "the same in another order: " if sorted(theirs) == sorted(ours) else ""
    return f"{order}class {label} is {theirs[label]!r} there and {ours[label]!r} here"
