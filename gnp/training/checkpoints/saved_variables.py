"""The model's part of checkpoints: read whatever optimizer it was trained with, and averaged."""

import logging
import pathlib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from gnp.errors import UserError, reason
from gnp.files import require_checkpoint_path
from gnp.runs.folder import CHECKPOINTS_FOLDER
from gnp.training.checkpoints import checkpoint_files
from gnp.training.freeze import merged
from gnp.training.state import fingerprint

_COLLECTIONS = ("params", "batch_stats", "ema", "frozen")

_log = logging.getLogger(__name__)


def variables_fingerprint(state: Any) -> int:
    """The fingerprint of the model's variables and of their moving average.

    Args:
      state: a `TrainState`, or a dictionary with its fields.
    """
    fields = state if isinstance(state, dict) else vars(state)
    # Without None and empty dictionaries, which a checkpoint may give back as each other.
    return int(fingerprint({name: fields[name] for name in _COLLECTIONS if fields.get(name)}))


def find_checkpoints(path: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints that a path names, the newest last.

    Args:
      path: a run's folder, or the folder of one of its checkpoints.
    """
    path = pathlib.Path(path).absolute()
    if (path / "state").is_dir():
        require_checkpoint_path(path, "move it")
        return [path]
    folder = path / CHECKPOINTS_FOLDER
    return [folder / str(step) for step in checkpoint_files.saved_steps(folder)]


def read_variables(checkpoint: pathlib.Path, *, ema: bool = False) -> dict[str, Any]:
    """Parameters (`params`) and batch statistics (`batch_stats`) of a checkpoint, as numpy arrays.

    Args:
      checkpoint: its folder, which is not changed.
      ema: take their moving averages.

    Raises:
      UserError: there are no moving averages.
      Exception: the checkpoint is damaged.
    """
    # Checkpoints of early versions know the fingerprint of the whole state only.
    expected = checkpoint_files.read_position(checkpoint).get("variables_fingerprint")
    state = _read_state(checkpoint / "state")
    if expected is not None and expected != variables_fingerprint(state):
        raise checkpoint_files.DamagedError("its numbers are not those that were saved")
    if ema and not state.get("ema"):
        raise UserError(
            f"{checkpoint} holds no moving average of the parameters; train with "
            "--config.ema_decay=0.999, or leave it out."
        )
    if ema:
        found = state["ema"]
    else:
        found = state | {"params": merged(state["params"], state.get("frozen"))}
    return {"params": found["params"], "batch_stats": found.get("batch_stats") or {}}


def read_newest_variables(path: pathlib.Path, *, ema: bool = False) -> dict[str, Any]:
    """The same of the newest checkpoint that is whole.

    Args:
      path: as in `find_checkpoints`.
      ema: take their moving averages.

    Raises:
      UserError: there is none, or it has no moving averages.
    """
    checkpoints = find_checkpoints(path)
    if not checkpoints:
        raise UserError(
            f"{path} holds no checkpoint; name the folder of a run that has saved one, or a "
            "checkpoint's own folder."
        )
    for checkpoint in reversed(checkpoints):
        try:
            return read_variables(checkpoint, ema=ema)
        except UserError:
            raise
        except Exception as error:  # whatever orbax makes of a damaged file
            _log.warning(
                "%s is damaged; looking for one before it. (%s)", checkpoint, reason(error)
            )
    raise UserError(f"All checkpoints in {path} are damaged; name another run.")


def average_variables(trees: Iterable[Any]) -> Any:
    """The mean of trees of arrays, added up in double precision."""
    trees = list(trees)

    def mean(*arrays):
        return np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype)

    return jax.tree.map(mean, *trees)


def _read_state(folder):
    handler = ocp.PyTreeCheckpointHandler()
    saved = handler.metadata(folder).tree
    wanted = {name: saved[name] for name in _COLLECTIONS if saved.get(name)}
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
    with ocp.Checkpointer(handler) as reader:
        return reader.restore(
            folder,
            args=ocp.args.PyTreeRestore(item=wanted, restore_args=as_numpy, partial_restore=True),
        )
