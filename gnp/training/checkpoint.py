"""Checkpoints: the whole training state and the position in the data, written by orbax."""

import pathlib
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from gnp.training.state import TrainState

_KEEP = 2


class Position(NamedTuple):
    """Where a run stands, beside its state.

    Attributes:
      step: number of steps taken; with the batch size it is the place in the data.
      evaluated_step: the last step after which the model was evaluated; 0 if never.
      seconds: time in training so far, over all starts.
      left_out: steps that are passed over because a rollback found them not finite, from 1.
    """

    step: int = 0
    evaluated_step: int = 0
    seconds: float = 0.0
    left_out: tuple[int, ...] = ()


class Checkpoints:
    """The checkpoints of one run. A checkpoint appears whole or not at all.

    Saving goes on in the background; the state must stay as it is only until `save` returns.
    """

    def __init__(self, folder: pathlib.Path):
        """Opens `folder`, which is created if need be.

        Args:
          folder: absolute path.
        """
        options = ocp.CheckpointManagerOptions(
            cleanup_tmp_directories=True,
            preservation_policy=ocp.checkpoint_managers.LatestN(_KEEP),
        )
        self._manager = ocp.CheckpointManager(
            folder, options=options, item_names=("state", "position")
        )

    def save(self, state: TrainState, position: Position) -> None:
        """Saves under the position's step, unless that step is saved already."""
        if position.step == self._manager.latest_step():
            return
        self._manager.save(
            position.step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                position=ocp.args.JsonSave(position._asdict()),
            ),
        )

    def restore_latest(self, like: TrainState) -> tuple[TrainState, Position] | None:
        """The newest checkpoint, or None if there is none.

        Args:
          like: a state of the same structure; the restored arrays are placed as its are.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(jax.tree.map(_abstract, like)),
                position=ocp.args.JsonRestore(),
            ),
        )
        return restored["state"], Position(**restored["position"])

    def wait(self) -> None:
        """Returns when all saves are on disk; raises what went wrong in the background."""
        self._manager.wait_until_finished()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._manager.close()


def _abstract(array):
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)
