"""Training from wherever a run stands to its last step."""

import contextlib
import functools
import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from gnp.optimizer.build import build_optimizer
from gnp.runs.folder import CHECKPOINTS_FOLDER, METRICS_FILE
from gnp.runs.metrics import read_metrics
from gnp.runs.summary import write_results
from gnp.runs.writers import open_writers
from gnp.training import parallel
from gnp.training.checkpoint import Checkpoints, Position
from gnp.training.evaluate import evaluate, make_eval_step
from gnp.training.health import Health
from gnp.training.interrupt import Interrupted, StopRequest
from gnp.training.monitor import MetricsLog
from gnp.training.nonfinite import Rollback, explain
from gnp.training.profiling import Profiler, steps_to_profile
from gnp.training.progress import Progress
from gnp.training.state import initial_state
from gnp.training.step_kinds import StepKinds, count_steps
from gnp.training.step_schedule import batches_of_turns, plan_turns
from gnp.training.throughput import Throughput

_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK = 20

_log = logging.getLogger(__name__)


def train(
    config: Any,
    *,
    model: nn.Module,
    source: Any,
    folder: pathlib.Path,
    start_from: Callable[[dict], dict] | None = None,
    forward_flops: float | None = None,
) -> dict:
    """Trains a model and leaves everything about it in a folder.

    Goes on from the newest checkpoint in the folder, if there is one.

    Args:
      config: the resolved config.
      model: the classifier.
      source: a `gnp.ds_pipeline.source.DataSource` made for this process.
      folder: the run's folder; it exists.
      start_from: what makes the first variables (`params` and `batch_stats`) of those that the
        model was initialized with; not asked if there is a checkpoint.
      forward_flops: FLOPs of the model's forward pass of one image, for the timings; None: unknown.

    Returns:
      The summary of the run, as in `summary.json`; empty in all processes but the first.

    Raises:
      UserError: the training set is smaller than a batch; or a file of the run is damaged.
      TrainingError: a loss or gradient is not finite, and `on_nonfinite` says to stop.
      Interrupted: the run was asked to stop; its state is saved.
    """
    folder = pathlib.Path(folder).absolute()
    start = functools.partial(_Run, config, model, source, folder, start_from, forward_flops)
    with StopRequest() as stop:
        run = _train(start, stop)
    if jax.process_index() != 0:
        return {}
    return write_results(
        folder,
        best_metric=config.best_metric,
        stopped_early=run.has_stopped_early,
        seconds=run.position.seconds,
        images=run.position.step * config.batch_size,
    )


def _train(start, stop):
    """Trains to the end, from the last checkpoint again after each rollback.

    Args:
      start: makes the `_Run`, of the steps to be left out, `stop`, and what closes it again.
      stop: asked for at any time, it stands through rollbacks.
    """
    left_out: tuple[int, ...] = ()
    while True:
        try:
            with contextlib.ExitStack() as resources:
                run = start(left_out, stop, resources)
                while not run.is_finished:
                    run.train_to_end_of_epoch()
                    run.evaluate_if_due()
                    run.save_if_due()
            return run
        except Rollback as rollback:
            _log.warning("%s", rollback)
            left_out = (*left_out, rollback.step)


class _Run:
    """Where a run stands, and what can be done with it."""

    def __init__(
        self, config, model, source, folder, start_from, forward_flops, left_out, stop, resources
    ):
        self.config = config
        self.source = source
        self.steps_per_epoch = count_steps(config.batch_size, source.num_train_images)
        self.total_steps = config.total_epochs * self.steps_per_epoch
        optimizer = build_optimizer(config.opt.opt_type, config.opt.opt_params)
        self.step_kinds = StepKinds(config, model, optimizer, self.steps_per_epoch, source.prepare)
        self.eval_step = parallel.map_eval_step(
            make_eval_step(model, config.label_smoothing), source.prepare_eval
        )

        self.device_data = parallel.replicate(source.device_data)

        self.stop = stop
        self.checkpoints = resources.enter_context(open_checkpoints(config, folder))
        self.state, self.position = self._restore_or_create(model, optimizer, start_from)
        self.position = self.position._replace(
            left_out=tuple(sorted({*self.position.left_out, *left_out}))
        )
        step = self.position.step
        is_writer = jax.process_index() == 0
        self.progress = Progress(
            self.total_steps, step, self.steps_per_epoch, config.batch_size, show=is_writer
        )
        resources.callback(self.progress.close)
        self.writer, timings_writer = None, None
        if is_writer:
            self.writer, timings_writer = open_writers(folder, config, self.position, resources)
        self.throughput = Throughput(
            timings_writer, batch_size=config.batch_size, forward_flops=forward_flops
        )
        resources.callback(self.throughput.close)
        traced = steps_to_profile(config.profile_steps if is_writer else "")
        self.profiler = Profiler(traced, folder, wait=self.throughput.pause)
        resources.callback(self.profiler.close)
        self.log = MetricsLog(
            self.writer,
            self.progress,
            every=config.logging.tensorboard_logging_frequency,
            health=self._health(folder) if is_writer else None,
        )
        self.turn = range(step, step + 1)  # the steps that were taken last
        self.evaluation = None
        self.clock = self.saved_at = time.monotonic()

    def _restore_or_create(self, model, optimizer, start_from):
        fresh = initial_state(self.config, model, optimizer, self.source.image_shape)
        restored = self.checkpoints.restore_latest(parallel.replicate(fresh))
        if restored is None:
            if start_from is not None:
                fresh = fresh.with_variables(start_from(fresh.variables))
            return parallel.replicate(fresh), Position()
        _log.info("Going on after step %d of %d.", restored[1].step, self.total_steps)
        return restored

    def _health(self, folder):
        return Health(self.config.logging, self.state.params, read_metrics(folder / METRICS_FILE))

    @property
    def epoch(self):
        """The epoch that the last step belongs to, or the first one."""
        return max(self.position.step - 1, 0) // self.steps_per_epoch

    @property
    def is_finished(self):
        return self.position.evaluated_step == self.total_steps or self.has_stopped_early

    @property
    def has_stopped_early(self):
        patience = self.config.early_stopping_patience
        return patience > 0 and self.position.evaluations_since_best >= patience

    @property
    def _is_at_end_of_epoch(self):
        return self.position.step > 0 and self.position.step % self.steps_per_epoch == 0

    def train_to_end_of_epoch(self):
        """Takes the steps that are left of the epoch, or of the next one."""
        if self._is_at_end_of_epoch and self._evaluation_is_due:
            return  # the run was stopped just before this evaluation
        epoch, first = divmod(self.position.step, self.steps_per_epoch)
        kinds = self.step_kinds.of_epoch(self.state.key, epoch)
        left_out = [step - 1 - epoch * self.steps_per_epoch for step in self.position.left_out]
        turns = plan_turns(kinds, first, self.config.steps_per_loop, alone=left_out)
        batches = batches_of_turns(self.source.train_batches(epoch, first), turns)
        batches = parallel.split_ahead(batches, _split_turn)
        for turn, batch in zip(turns, self.throughput.batches(batches), strict=True):
            self.turn = range(self.position.step + 1, self.position.step + turn.count + 1)
            self.position = self.position._replace(step=self.turn[-1])
            with self.profiler.steps(self.turn):
                if turn.first in left_out:
                    self._pass_over_step()
                else:
                    self._take_turn(kinds[turn.first], batch)
            self._act_on_bad_step()
            if not self._is_at_end_of_epoch and self._save_is_due_by_steps_or_clock:
                self._save()
            self._leave_if_asked()

    def _take_turn(self, kind, batch):
        take = kind.one if len(self.turn) == 1 else kind.several
        self.state, metrics = take(self.state, self.device_data, batch)
        self.log.add(self.turn, metrics)
        self.throughput.add(self.turn, kind.passes, metrics["loss"])

    def _turn_has_multiple_of(self, steps):
        return self.turn[-1] // steps > (self.turn[0] - 1) // steps

    @property
    def _save_is_due_by_steps_or_clock(self):
        steps, minutes = self.config.save_ckpt_every_n_steps, self.config.save_ckpt_every_n_minutes
        if steps and self._turn_has_multiple_of(steps):
            return True
        # Several processes ask one clock, which stops them, so they ask it only now and then.
        if not minutes or not self._turn_has_multiple_of(_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK):
            return False
        return parallel.agree(time.monotonic() - self.saved_at >= 60 * minutes)

    def _pass_over_step(self):
        self.log.flush()
        self.state = self.step_kinds.leave_out(self.state)
        if self.writer is not None:
            self.writer.write(self.position.step, {"train/left_out": 1})

    def _act_on_bad_step(self):
        found = self.log.bad_step
        if found is None:
            return
        if self.config.on_nonfinite == "skip":
            _log.warning("Step %d is not finite in pass %d; left out.", *found)
            self.log.bad_step = None
            return
        if (
            self.config.on_nonfinite == "rollback"
            and len(self.position.left_out) < self.config.max_rollbacks
        ):
            raise Rollback(found.step)
        epoch, index = divmod(found.step - 1, self.steps_per_epoch)
        batch = self.source.prepare(
            self.device_data, next(iter(self.source.train_batches(epoch, index)))
        )
        radius = float(self.step_kinds.r(found.step - 1))
        raise explain(found, self.step_kinds.objective, self.state, batch, radius)

    def _flush(self):
        self.throughput.pause()
        self.log.flush()
        self._act_on_bad_step()

    @property
    def _evaluation_is_due(self):
        done = self.position.evaluated_step == self.position.step
        return not done and self._is_due(self.config.evaluate_every_n_epochs)

    def evaluate_if_due(self):
        if not self._evaluation_is_due:
            return
        self._flush()
        metrics = self._evaluate("eval", self.state) | self.step_kinds.sparsity(self.state.params)
        if self.state.ema is not None:
            metrics |= self._evaluate("eval_ema", self.state.with_variables(self.state.ema))
        if self.writer is not None:
            self.writer.write(self.position.step, metrics)
        self.progress.update(self.position.step, metrics)
        value = metrics[self.config.best_metric]
        is_best = parallel.agree(self.position.is_improved_by(value))
        self.position = self.position.after_evaluation(value, is_best=is_best)
        self.evaluation = metrics
        if self.has_stopped_early:
            self.progress.note(
                f"Stopping early: {self.position.evaluations_since_best} evaluations without a "
                f"better {self.config.best_metric} than that of step {self.position.best_step}."
            )

    def _evaluate(self, prefix, state):
        result = evaluate(self.eval_step, state, self.source.eval_batches(), self.device_data)
        if result["num_images"] != self.source.num_eval_images:
            raise RuntimeError(
                f"The evaluation counted {result['num_images']} images, "
                f"but the data set has {self.source.num_eval_images}."
            )
        if not self.config.compute_top_5_error_rate:
            del result["top_5_error_rate"]
        return {f"{prefix}/{name}": value for name, value in result.items()}

    def save_if_due(self):
        """Saves at the end of an epoch, after its evaluation, whose result the checkpoint holds."""
        by_epochs = self._is_due(self.config.save_ckpt_every_n_epochs)
        if by_epochs or self._is_best_so_far or self._save_is_due_by_steps_or_clock:
            self._save()

    @property
    def _is_best_so_far(self):
        is_kept = self.config.keep_best_checkpoints > 0
        return is_kept and self.position.best_step == self.position.step

    def _is_due(self, every_n_epochs):
        is_last = self.position.step == self.total_steps or self.has_stopped_early
        return is_last or (self.epoch + 1) % every_n_epochs == 0

    def _save(self):
        # The metrics must be in their file before the checkpoint that follows them.
        self._flush()
        now = time.monotonic()
        self.position = self.position._replace(seconds=self.position.seconds + now - self.clock)
        self.clock = now
        is_evaluated = self.position.evaluated_step == self.position.step
        evaluation = self.evaluation if is_evaluated else None
        self.checkpoints.save(self.state, self.position, evaluation)
        self.saved_at = now

    def _leave_if_asked(self):
        signal_number = self.stop.after_turn()
        if signal_number is None:
            return
        self._save()
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        command = "The same command" + (" without retrain" if self.config.retrain else "")
        if self.position.step in steps:
            saved = f"everything is saved. {command} goes on from there."
        else:
            last = f"step {steps[-1]}" if steps else "the start"
            saved = f"it could not be saved. {command} goes on from {last}."
        raise Interrupted(
            signal_number,
            f"Stopped after step {self.position.step} of {self.total_steps}; {saved}",
            self.config.interrupt_exit_code,
        )


def open_checkpoints(config: Any, folder: pathlib.Path, *, read_only: bool = False) -> Checkpoints:
    """The checkpoints of the run in a folder."""
    return Checkpoints(
        folder / CHECKPOINTS_FOLDER,
        keep_latest=config.keep_latest_checkpoints,
        keep_best=config.keep_best_checkpoints,
        best_metric=config.best_metric,
        read_only=read_only,
    )


def _split_turn(batches):
    return parallel.split(batches[0]) if len(batches) == 1 else parallel.split_several(batches)
