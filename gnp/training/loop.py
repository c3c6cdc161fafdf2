"""Training from wherever a run stands to its last step."""

import contextlib
import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from gnp.errors import NotSavedError
from gnp.runs.config_file import Change
from gnp.runs.summary import ended_as_before, summarize, write_results
from gnp.training import nonfinite, parallel
from gnp.training.checkpoints.manager import Checkpoints, open_checkpoints
from gnp.training.checkpoints.when_to_save import Saver
from gnp.training.evaluate import Evaluator
from gnp.training.interrupt import StopRequest
from gnp.training.monitoring.monitor import Monitor, Records
from gnp.training.position import Position, RunLength
from gnp.training.settings.run import Settings
from gnp.training.state import TrainState
from gnp.training.step_programs import StepPrograms, send
from gnp.training.step_schedule import StepBlock, StepSchedule, batches_of_blocks

_log = logging.getLogger(__name__)


class Job(NamedTuple):
    """What is trained, and where.

    Attributes:
      settings: of the run.
      model: the classifier.
      source: a `gnp.ds_pipeline.source.DataSource` made for this process.
      folder: the run's folder; it exists.
      start_from: makes the first variables (`params` and `batch_stats`) of those that the model
        was initialized with; not called if there is a checkpoint. None: those stay.
      forward_flops: FLOPs of the model's forward pass of one image, for the timings; None: unknown.
      check_folder: called before a save; raises a `TrainingError` if the folder is this run's no
        more.
      record_changes: called with the steps taken; returns the changes that apply from there.
    """

    settings: Settings
    model: nn.Module
    source: Any
    folder: pathlib.Path
    start_from: Callable[[dict], dict] | None = None
    forward_flops: float | None = None
    check_folder: Callable[[], None] = lambda: None
    record_changes: Callable[[int], Sequence[Change]] = lambda step: ()

    @property
    def length(self) -> RunLength:
        """How long the run is."""
        return self.settings.length(self.source.num_train_images)


def train(settings: Settings, **job: Any) -> dict:
    """Trains a model and leaves everything about it in a folder.

    Resumes from the newest checkpoint in the folder, if there is one.

    Args:
      settings: of the run.
      **job: the other fields of `Job`.

    Returns:
      The summary of the run, as in `summary.json`; empty in all processes but the first.

    Raises:
      UserError: the training set is smaller than a batch; or a file of the run is damaged.
      TrainingError: a loss or gradient is not finite, and `on_nonfinite` says to stop; or another
        process has taken the folder.
      Interrupted: the run was asked to stop; its state is saved.
      NotSavedError: the run is trained to its end, but a file cannot be written.
    """
    job = Job(settings, **job | {"folder": pathlib.Path(job["folder"]).absolute()})
    with StopRequest() as stop:
        end = nonfinite.with_rollbacks(functools.partial(_train_to_end, job, stop))
    return _write_end(job, end) if jax.process_index() == 0 else {}


class _End(NamedTuple):
    """How a run ended."""

    position: Position
    records: Records
    saved_step: int  # of the newest checkpoint on disk; 0: there is none


def _write_end(job, end):
    settings = job.settings
    summary = summarize(
        end.records.metrics,
        end.records.timings,
        end.position,
        best_metric=settings.evaluation.best_metric,
        stopped_early=settings.evaluation.is_patience_over(end.position),
        batch_size=settings.batch_size,
    )
    summary = ended_as_before(job.folder, summary)
    lost = list(end.records.lost)
    if end.saved_step < end.position.step:
        lost.insert(0, f"the checkpoint of step {end.position.step}")
    lost += write_results(job.folder, summary, end.records.metrics, is_saved=not lost)
    if lost:
        resumes = f"resumes after step {end.saved_step}" if end.saved_step else "starts over"
        raise NotSavedError(
            f"The run is trained to its end, but these are not in {job.folder}: "
            f"{', '.join(lost)}. Make room there; then the same command {resumes}.",
            summary,
        )
    return summary


def _train_to_end(job: Job, stop: StopRequest, skipped_steps: frozenset[int]) -> _End:
    """Trains from the last checkpoint to the end."""
    evaluation, length = job.settings.evaluation, job.length
    with contextlib.ExitStack() as resources:
        run = _open(job, skipped_steps, resources)
        for epoch in range(_first_epoch(run), length.total_epochs):
            if evaluation.is_patience_over(run.position):
                break
            for block, batch in _blocks(run, epoch):
                _take_steps(run, block, batch)
                _act_on_bad_step(run)
                if not length.is_end_of_epoch(run.position.step) and run.saver.is_due(block):
                    _save(run)
                if signal_number := stop.after_block():
                    _save(run)
                    raise run.saver.interrupted(signal_number, run.position, length.total_steps)
            if evaluation.is_due(epoch, run.position, length):
                _evaluate(run)
            is_last = epoch + 1 == length.total_epochs or evaluation.is_patience_over(run.position)
            if run.saver.is_due_after_epoch(epoch, run.position, run.last_block, is_last=is_last):
                _save(run)
        return _End(run.position, run.monitor.records(), run.saver.saved_step())


@dataclasses.dataclass
class _Run:
    """What is open while a run trains, and where it stands."""

    job: Job
    schedule: StepSchedule
    programs: StepPrograms
    evaluate: Evaluator
    device_data: Any
    saver: Saver
    monitor: Monitor
    state: TrainState
    position: Position
    last_block: StepBlock
    evaluation: dict | None = None
    is_penalty_logged: bool = False


def _open(job, skipped_steps, resources):
    """Opens a run where its newest checkpoint stands."""
    settings, source, length = job.settings, job.source, job.length
    programs = StepPrograms(settings, job.model, length.steps_per_epoch, source.prepare)
    checkpoints = resources.enter_context(open_checkpoints(settings.saving, job.folder))
    state, position = _restore_or_create(job, checkpoints)
    position = position.skipping(skipped_steps)
    monitor = Monitor(
        *(settings.logging, job.folder, position, state.params),
        **{"length": length, "forward_flops": job.forward_flops},
    )
    resources.enter_context(monitor)
    monitor.mark_changes(position.step, job.record_changes(position.step))
    return _Run(
        job=job,
        schedule=settings.step_schedule(length.steps_per_epoch),
        programs=programs,
        evaluate=Evaluator(job.model, source, settings.evaluation, settings.loss.sparsity),
        device_data=parallel.replicate(source.device_data),
        saver=Saver(checkpoints, settings.saving),
        monitor=monitor,
        state=state,
        position=position,
        last_block=StepBlock(position.step - 1, 1),
    )


def _restore_or_create(job: Job, checkpoints: Checkpoints) -> tuple[TrainState, Position]:
    fresh = job.settings.initial_state(job.model, job.source.image_shape)
    restored = checkpoints.restore_latest(parallel.replicate(fresh))
    if restored is not None:
        _log.info("Resuming after step %d of %d.", restored[1].step, job.length.total_steps)
        return restored
    if job.start_from is not None:
        fresh = fresh.with_variables(job.start_from(fresh.variables))
    return parallel.replicate(fresh), Position()


def _first_epoch(run):
    """The first epoch of which steps, or the evaluation, are missing."""
    length, position = run.job.length, run.position
    epoch = position.epoch(length.steps_per_epoch)
    misses_evaluation = run.job.settings.evaluation.is_due(epoch, position, length)
    is_over = length.is_end_of_epoch(position.step) and not misses_evaluation
    return epoch + 1 if is_over else epoch


def _blocks(run, epoch) -> Iterator[tuple[StepBlock, Any]]:
    """What is left of an epoch: blocks of steps with their batches, sent to the devices."""
    steps_per_epoch = run.job.length.steps_per_epoch
    first = run.position.step
    blocks = run.schedule.blocks(run.state.key, first, epoch, run.position.skipped_steps)
    _log_beginning(run, blocks)
    batches = run.job.source.train_batches(epoch, first - epoch * steps_per_epoch)
    sent = parallel.split_ahead(batches_of_blocks(batches, blocks), send)
    return zip(blocks, run.monitor.batches(sent), strict=True)


def _log_beginning(run, blocks):
    """Logs, once, with which step the penalty begins."""
    penalized = [block for block in blocks if block.is_penalized]
    if penalized and not run.is_penalty_logged:
        _log.info("The penalty begins with step %d.", penalized[0].steps[0])
        if run.job.settings.penalty.form.is_one_pass:
            _log.info(
                "Each of its steps makes one pass: loss, training error and batch statistics are "
                "those at the perturbed parameters."
            )
        run.is_penalty_logged = True


def _take_steps(run, block, batch):
    run.last_block = block
    run.position = run.position._replace(step=block.steps[-1])
    with run.monitor.profiling(block.steps):
        if block.is_skipped:
            run.monitor.add_skipped(run.position.step)
            run.state = run.programs.skip(run.state)
            return
        run.state, metrics = run.programs.take(block, run.state, run.device_data, batch)
        run.monitor.add(block, metrics, run.programs.passes(block))


def _finish_steps(run):
    """Waits for the steps under way."""
    run.monitor.flush()
    _act_on_bad_step(run)


def _act_on_bad_step(run):
    found = run.monitor.bad_step
    if found is not None:
        num_rollbacks = len(run.position.skipped_steps)
        run.job.settings.nonfinite.act(found, num_rollbacks, lambda: _explained(run, found))
        run.monitor.forget_bad_step()


def _explained(run, found):
    """The error that names the layer where the step was not finite."""
    source = run.job.source
    epoch, index = divmod(found.step - 1, run.job.length.steps_per_epoch)
    batch = source.prepare(run.device_data, next(iter(source.train_batches(epoch, index))))
    return nonfinite.explain(
        found,
        run.programs.objective,
        run.state,
        batch,
        r=float(run.programs.r(found.step - 1)),
        ascent=run.job.settings.penalty.form.ascent,
    )


def _evaluate(run):
    _finish_steps(run)
    run.evaluation = run.evaluate(run.state, run.device_data)
    settings = run.job.settings.evaluation
    value = run.evaluation[settings.best_metric]
    is_best = parallel.agree(run.position.is_improved_by(value))
    run.position = run.position.after_evaluation(value, is_best=is_best)
    is_over = settings.is_patience_over(run.position)
    if is_over or run.position.step == run.job.length.total_steps:
        run.evaluation |= run.evaluate.on_training_set(run.state, run.device_data)
    run.monitor.add_evaluation(run.position.step, run.evaluation)
    if is_over:
        run.monitor.note(
            f"Stopping early: {run.position.evaluations_since_best} evaluations without a better "
            f"{settings.best_metric} than that of step {run.position.best_step}."
        )


def _save(run):
    # The metrics must be in their file before the checkpoint that follows them.
    _finish_steps(run)
    run.job.check_folder()
    run.position = run.monitor.recorded(run.position)
    run.position = run.saver.save(run.state, run.position, run.evaluation)
