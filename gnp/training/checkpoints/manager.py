"""Checkpoints: the whole training state and the position in the data, written by orbax."""

import contextlib
import itertools
import logging
import os
import pathlib
import re
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gnp.errors import CannotWriteError, UserError, reason
from gnp.runs.folder import CHECKPOINTS_FOLDER, DAMAGED_FOLDER, SUMMARY_FILE
from gnp.training import parallel
from gnp.training.checkpoints import checkpoint_files
from gnp.training.checkpoints.checkpoint_files import METRICS_ITEM
from gnp.training.checkpoints.checkpoint_state import fields_of, restore
from gnp.training.checkpoints.saved_variables import variables_fingerprint
from gnp.training.position import Position
from gnp.training.state import TrainState, fingerprint

# What orbax raises when a file cannot be written, and when an array cannot.
_CANNOT_WRITE = (OSError, ValueError)

_log = logging.getLogger(__name__)


def open_checkpoints(settings: Any, folder: pathlib.Path) -> "Checkpoints":
    """The checkpoints of the run in a folder.

    Args:
      settings: `gnp.training.settings.run.SavingSettings`.
      folder: the run's folder, an absolute path.
    """
    return Checkpoints(
        folder / CHECKPOINTS_FOLDER,
        keep_latest=settings.keep_latest,
        keep_best=settings.keep_best,
        best_metric=settings.best_metric,
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
    ):
        """Opens `folder`, which is created if need be.

        Args:
          folder: absolute path.
          keep_latest: keep this many of the newest checkpoints.
          keep_best: keep this many more, those with the smallest metric.
          best_metric: that metric, of the evaluation at the time of saving.

        Raises:
          CannotWriteError: there cannot be such a folder.
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
            cleanup_tmp_directories=True,
            # Otherwise a folder that cannot be made is waited for, for minutes.
            async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
            preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
            best_fn=(lambda metrics: self._rank(metrics)[0]) if keep_best else None,
            best_mode="min",
        )
        self._saving: int | None = None
        self._set_aside_faults()
        try:
            self._manager: ocp.CheckpointManager | None = self._open()
        except OSError as error:
            raise CannotWriteError(folder, error) from error

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
        if with_metrics:
            metrics = checkpoint_files.with_fingerprint(metrics | {"step": position.step})
        if position.step in self.steps():
            self._add_metrics(position.step, metrics if with_metrics else None)
            return
        try:
            if self._manager is None:
                self._manager = self._open()
            self._manager.save(
                position.step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(fields_of(parallel.as_global(state))),
                    position=ocp.args.JsonSave(_position_file(position, state)),
                ),
                metrics=metrics if with_metrics else None,
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
          UserError: the checkpoints are of another model or optimizer; or all of them are damaged;
            or the run is finished, but has none.
        """
        for step in reversed(self.steps()):
            try:
                return restore(self._folder / str(step), like)
            except UserError:
                raise
            except Exception as error:  # whatever orbax makes of a damaged file
                self._set_aside(step, error)
        self._check_that_none_was_saved()
        return None

    def steps(self) -> list[int]:
        """The steps of all checkpoints, the newest last."""
        return checkpoint_files.saved_steps(self._folder)

    def _rank(self, metrics):
        return checkpoint_files.rank(metrics, self._best_metric)

    def wait(self) -> None:
        """Returns when all saves are on disk or given up."""
        if self._manager is None:
            return
        try:
            self._manager.wait_until_finished()
        except _CANNOT_WRITE as error:
            self._give_up(self._saving, error)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.wait()
        if self._manager is not None:
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
            _cause(error),
        )
        if parallel.has_several_processes():
            return  # managers are opened by all processes together
        # This one would tell the same error again, whatever comes. A new one clears up after it.
        with contextlib.suppress(*_CANNOT_WRITE):
            if self._manager is not None:
                self._manager.close()
        self._manager = None
        with contextlib.suppress(*_CANNOT_WRITE):
            self._manager = self._open()

    def _add_metrics(self, step, metrics):
        """To a checkpoint that is on disk; so it may come to be kept as the best."""
        folder = self._folder / str(step) / METRICS_ITEM
        if metrics is None or not self._keeps_best or folder.exists():
            return
        try:
            with ocp.Checkpointer(ocp.JsonCheckpointHandler(filename=METRICS_ITEM)) as writer:
                writer.save(folder, metrics)
        except _CANNOT_WRITE as error:
            self._give_up(step, error)
        if self._manager is not None:
            self._manager.reload()

    def _set_aside_faults(self):
        """Managers read the small files of all checkpoints, so one that is damaged stops them.

        The first process looks; the others wait until it has moved what it found.
        """
        if jax.process_index() == 0:
            for entry in self._folder.iterdir() if self._folder.is_dir() else ():
                if checkpoint_files.is_step(entry.name) and (why := checkpoint_files.fault(entry)):
                    _log.warning("Checkpoint %s is damaged and set aside. (%s)", entry.name, why)
                    self._move_to_damaged(entry.name)
        parallel.barrier("damaged checkpoints")

    def _set_aside(self, step, error):
        _log.warning(
            "Checkpoint %d is damaged and set aside; taking the one before. (%s)",
            step,
            reason(error),
        )
        if jax.process_index() == 0:
            self._move_to_damaged(str(step))
        parallel.barrier("damaged checkpoint")
        self._manager.reload()

    def _move_to_damaged(self, name):
        damaged = self._folder.parent / DAMAGED_FOLDER
        try:
            damaged.mkdir(exist_ok=True)
            os.replace(self._folder / name, _free_name(damaged, name))
        except OSError as error:
            raise CannotWriteError(damaged, error) from error

    def _check_that_none_was_saved(self):
        """Without a checkpoint a run starts from its first step, which overwrites what there is."""
        run = self._folder.parent
        damaged = run / DAMAGED_FOLDER
        is_finished = (run / SUMMARY_FILE).exists()
        if damaged.is_dir() and any(damaged.iterdir()):
            raise UserError(
                f"All checkpoints of {run} are damaged; they are in {damaged}. To train from the "
                f"first step again, {'' if is_finished else 'move that folder away, or '}set "
                "--config.retrain=True."
            )
        if is_finished:
            raise UserError(
                f"{run} is finished, but {self._folder} holds no checkpoint; put them back, or set "
                "--config.retrain=True to train again."
            )


def _cause(error):
    """Why a file cannot be written. Tensorstore tells it by a number at the end of a long text."""
    code = re.search(r"os_error_code='([0-9]+)'", str(error))
    if code:
        return os.strerror(int(code[1]))
    return getattr(error, "strerror", None) or reason(error)


def _position_file(position, state):
    return checkpoint_files.with_fingerprint(
        checkpoint_files.from_position(position)
        | {
            "fingerprint": int(fingerprint(state)),
            "variables_fingerprint": variables_fingerprint(state),
        }
    )


def _free_name(folder, name):
    """`name` in the folder, or with a number behind it where there is one already."""
    names = itertools.chain([name], (f"{name}_{count}" for count in itertools.count(2)))
    return next(folder / free for free in names if not (folder / free).exists())
