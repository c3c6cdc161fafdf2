"""Checkpoints: the whole training state and the position in the data, written by orbax."""

import contextlib
import itertools
import logging
import math
import os
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gnp.errors import UserError, reason
from gnp.runs.folder import CHECKPOINTS_FOLDER
from gnp.training import parallel
from gnp.training.position import Position
from gnp.training.saved_variables import variables_fingerprint
from gnp.training.state import TrainState, fingerprint

_DAMAGED_FOLDER = "damaged"

# The folder within a checkpoint, and the file in it, that orbax writes metrics into.
_METRICS_ITEM = "metrics"

# What checkpoints call the steps that were skipped.
_SKIPPED_STEPS_KEY = "left_out"

# What orbax raises when a file cannot be written, and when an array cannot.
_CANNOT_WRITE = (OSError, ValueError)

_log = logging.getLogger(__name__)


def open_checkpoints(
    settings: Any, folder: pathlib.Path, *, read_only: bool = False
) -> "Checkpoints":
    """The checkpoints of the run in a folder.

    Args:
      settings: `gnp.training.settings.SavingSettings`.
      folder: the run's folder, an absolute path.
      read_only: as in `Checkpoints`.
    """
    return Checkpoints(
        folder / CHECKPOINTS_FOLDER,
        keep_latest=settings.keep_latest,
        keep_best=settings.keep_best,
        best_metric=settings.best_metric,
        read_only=read_only,
    )


class Checkpoints:
    """The checkpoints of one run. A checkpoint appears whole or not at all.

    Saving happens in the background; the state must stay as it is only until `save` returns.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        keep_latest: int = 2,
        keep_best: int = 0,
        best_metric: str = "eval/error_rate",
        read_only: bool = False,
    ):
        """Opens `folder`, which is created if need be.

        Args:
          folder: absolute path.
          keep_latest: keep this many of the newest checkpoints.
          keep_best: keep this many more, those with the smallest metric.
          best_metric: that metric, of the evaluation at the time of saving.
          read_only: leave everything as it is, such as what a run under way is writing.
        """
        self._folder = folder
        self._best_metric = best_metric
        self._keeps_best = keep_best > 0
        policies = [checkpoint_managers.LatestN(keep_latest)]
        if keep_best:
            policies.append(
                checkpoint_managers.BestN(
                    get_metric_fn=self._rank,
                    reverse=True,
                    n=keep_best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._options = ocp.CheckpointManagerOptions(
            cleanup_tmp_directories=not read_only,
            read_only=read_only,
            preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
            best_fn=(lambda metrics: self._rank(metrics)[0]) if keep_best else None,
            best_mode="min",
        )
        self._manager = self._open()
        self._saving: int | None = None

    def save(self, state: TrainState, position: Position, metrics: dict | None = None) -> None:
        """Saves under the position's step, unless that step is saved already.

        To one that a stopped run saved before the evaluation of its step the metrics are added. A
        checkpoint that cannot be written (a full disk, say) is given up with a warning; those
        that are there stay.

        Args:
          state: what to save.
          position: where the run stands.
          metrics: of the evaluation at this step, if there was one.
        """
        self.wait()
        with_metrics = metrics is not None and self._best_metric in metrics
        metrics = metrics | {"step": position.step} if with_metrics else None
        if position.step in self._manager.all_steps():
            self._add_metrics(position.step, metrics)
            return
        try:
            self._manager.save(
                position.step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(_fields(parallel.as_global(state))),
                    position=ocp.args.JsonSave(_position_file(position, state)),
                ),
                metrics=metrics,
            )
            self._saving = position.step
        except _CANNOT_WRITE as error:
            self._give_up(position.step, error)

    def restore_latest(self, like: TrainState) -> tuple[TrainState, Position] | None:
        """The newest checkpoint that is whole, or None if there is none at all.

        A damaged one is set aside, into the folder `damaged`, and the one before is taken.

        Args:
          like: a state of the same structure; the restored arrays are placed as its are.

        Raises:
          UserError: the checkpoints are of another model or optimizer, or all of them are damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.restore(step, like)
            except UserError:
                raise
            except Exception as error:  # whatever orbax makes of a damaged file
                _log.warning(
                    "Checkpoint %d is damaged and set aside; taking the one before. (%s)",
                    step,
                    reason(error),
                )
                self._set_aside(step)
        if steps:
            raise UserError(
                f"All checkpoints in {self._folder} are damaged; they are in the folder "
                f"{_DAMAGED_FOLDER} there. Start again with --config.retrain=True."
            )
        return None

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, Position]:
        """The checkpoint of that step.

        Raises:
          UserError: it is of another model or optimizer.
          Exception: it is damaged.
        """
        saved = self._manager.item_metadata(step)["state"].tree
        self._check_structure(step, saved, like)
        # Early versions wrote the fields that are None, too, and had fewer of them.
        wanted = dict.fromkeys(saved) | jax.tree.map(_abstract, _fields(like))
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(wanted), position=ocp.args.JsonRestore()
            ),
        )
        state, position = like.replace(**restored["state"]), restored["position"]
        if int(fingerprint(state)) != position["fingerprint"]:
            raise ValueError("its numbers are not those that were saved")
        return state, _position_from(position)

    def steps(self) -> list[int]:
        """The steps of all checkpoints, the newest last."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step of the checkpoint with the smallest metric; None if none has one."""
        metrics = {step: self._manager.metrics(step) for step in self.steps()}
        ranks = {
            step: self._rank(values)
            for step, values in metrics.items()
            if values and self._best_metric in values
        }
        return min(ranks, key=ranks.get, default=None)

    def _rank(self, metrics):
        """Smaller is better; of equals the first is, and what is not finite comes last."""
        value = metrics.get(self._best_metric, math.inf)
        return math.inf if math.isnan(value) else value, metrics.get("step", 0)

    def wait(self) -> None:
        """Returns when all saves are on disk or given up."""
        try:
            self._manager.wait_until_finished()
        except _CANNOT_WRITE as error:
            self._give_up(self._saving, error)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.wait()
        self._manager.close()

    def _open(self):
        return ocp.CheckpointManager(
            self._folder,
            options=self._options,
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "position": ocp.JsonCheckpointHandler(),
            },
        )

    def _give_up(self, step, error):
        _log.warning(
            "The checkpoint of step %s could not be written (%s); training continues, and the "
            "older checkpoints are as they were.",
            step,
            reason(error),
        )
        if parallel.has_several_processes():
            return  # managers are opened by all processes together
        # This one would tell the same error again, whatever comes. A new one clears up after it.
        with contextlib.suppress(*_CANNOT_WRITE):
            self._manager.close()
        self._manager = self._open()

    def _add_metrics(self, step, metrics):
        """To a checkpoint that is on disk; so it may come to be kept as the best."""
        folder = self._folder / str(step) / _METRICS_ITEM
        if metrics is None or not self._keeps_best or folder.exists():
            return
        try:
            with ocp.Checkpointer(ocp.JsonCheckpointHandler(filename=_METRICS_ITEM)) as writer:
                writer.save(folder, metrics)
        except _CANNOT_WRITE as error:
            self._give_up(step, error)
        self._manager.reload()

    def _check_structure(self, step, saved, like):
        saved = _shapes(saved)
        expected = _shapes(_as_dictionaries(_fields(like)))
        for name in sorted(saved.keys() | expected.keys()):
            if saved.get(name) != expected.get(name):
                raise UserError(
                    f"The checkpoint of step {step} in {self._folder} is of another model or "
                    f"optimizer: {name} is {saved.get(name, 'absent')} there and "
                    f"{expected.get(name, 'absent')} here; use the config it was made with, or "
                    "another --working_dir."
                )

    def _set_aside(self, step):
        if jax.process_index() == 0:
            folder = self._folder.parent / _DAMAGED_FOLDER
            folder.mkdir(exist_ok=True)
            os.replace(self._folder / str(step), _free_name(folder, str(step)))
        parallel.barrier("damaged checkpoint")
        self._manager.reload()


def _position_file(position, state):
    fields = position._asdict()
    skipped_steps = fields.pop("skipped_steps")
    return fields | {
        _SKIPPED_STEPS_KEY: skipped_steps,
        "fingerprint": int(fingerprint(state)),
        "variables_fingerprint": variables_fingerprint(state),
    }


def _position_from(saved):
    known = {name: saved[name] for name in Position._fields if name in saved}
    return Position(**known | {"skipped_steps": tuple(saved.get(_SKIPPED_STEPS_KEY, ()))})


def _free_name(folder, name):
    """`name` in the folder, or with a number behind it where there is one already."""
    names = itertools.chain([name], (f"{name}_{count}" for count in itertools.count(2)))
    return next(folder / free for free in names if not (folder / free).exists())


def _fields(state):
    """Those that are there; a field that is None is not in the checkpoint."""
    return {name: value for name, value in vars(state).items() if value is not None}


def _abstract(array):
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _as_dictionaries(tree):
    return ocp.tree.serialize_tree(tree, keep_empty_nodes=False)


def _shapes(tree):
    flat = ocp.tree.to_flat_dict(tree, sep="/")
    return {name: tuple(leaf.shape) for name, leaf in flat.items() if hasattr(leaf, "shape")}
