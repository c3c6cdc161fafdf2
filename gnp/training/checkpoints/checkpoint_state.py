"""The train state in a checkpoint: reads it, and makes sure that it fits."""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from gnp.errors import UserError
from gnp.training.checkpoints import checkpoint_files
from gnp.training.checkpoints.checkpoint_files import DamagedError
from gnp.training.position import Position
from gnp.training.state import TrainState, fingerprint

# Fields as early versions call them. LookSAM was the only ascent with a memory.
_NEW_NAMES = {"reused": "ascent_memory"}


def restore(checkpoint: pathlib.Path, like: TrainState) -> tuple[TrainState, Position]:
    """The state and the position of a checkpoint, which is not changed.

    Args:
      checkpoint: its folder.
      like: a state of the same structure; the restored arrays are placed as its are.

    Raises:
      UserError: it is of another model or optimizer.
      Exception: it is damaged.
    """
    position = checkpoint_files.read_position(checkpoint)
    checkpoint_files.read_evaluation(checkpoint)
    state = like.replace(**_restored_fields(checkpoint, like))
    if int(fingerprint(state)) != position["fingerprint"]:
        raise DamagedError("its numbers are not those that were saved")
    return state, checkpoint_files.as_position(position)


def fields_of(state: TrainState) -> dict[str, Any]:
    """The fields of a state that a checkpoint holds: those that are not None."""
    return {name: value for name, value in vars(state).items() if value is not None}


def _restored_fields(checkpoint, like):
    handler = ocp.StandardCheckpointHandler()
    saved = handler.metadata(checkpoint / "state").tree
    _check_structure(checkpoint, _renamed(saved, _NEW_NAMES), like)
    # Early versions wrote the fields that are None, too, and had fewer of them.
    fields = jax.tree.map(_abstract, fields_of(like))
    old_names = {new: old for old, new in _NEW_NAMES.items() if old in saved}
    wanted = dict.fromkeys(saved) | _renamed(fields, old_names)
    with ocp.Checkpointer(handler) as reader:
        restored = reader.restore(checkpoint / "state", args=ocp.args.StandardRestore(wanted))
    return _renamed(restored, _NEW_NAMES)


def _renamed(fields, names):
    return {names.get(name, name): value for name, value in fields.items()}


def _check_structure(checkpoint, saved, like):
    saved = _shapes(saved)
    expected = _shapes(_as_dictionaries(fields_of(like)))
    for name in sorted(saved.keys() | expected.keys()):
        if saved.get(name) != expected.get(name):
            raise UserError(
                f"The checkpoint of step {checkpoint.name} in {checkpoint.parent} is of another "
                f"model or optimizer: {name} is {saved.get(name, 'absent')} there and "
                f"{expected.get(name, 'absent')} here; use the config it was made with, or "
                "another --working_dir."
            )


def _abstract(array):
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _as_dictionaries(tree):
    return ocp.tree.serialize_tree(tree, keep_empty_nodes=False)


def _shapes(tree):
    flat = ocp.tree.to_flat_dict(tree, sep="/")
    return {name: tuple(leaf.shape) for name, leaf in flat.items() if hasattr(leaf, "shape")}
