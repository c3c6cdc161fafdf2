"""When a run saves: by epochs, by steps, by the clock, the best, and when it is asked to stop."""

import time
from typing import Any

from gnp.training import parallel
from gnp.training.checkpoints.manager import Checkpoints
from gnp.training.interrupt import Interrupted
from gnp.training.position import Position
from gnp.training.state import TrainState
from gnp.training.step_schedule import StepBlock

_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK = 20


class Saver:
    """Saves a run when it is due."""

    def __init__(self, checkpoints: Checkpoints, settings: Any):
        """Starts the clock.

        Args:
          checkpoints: those of the run.
          settings: `gnp.training.settings.run.SavingSettings`.
        """
        self._checkpoints = checkpoints
        self._settings = settings
        self._clock = self._saved_at = time.monotonic()

    def is_due(self, block: StepBlock) -> bool:
        """Whether a save is due by the steps taken last, or by the clock."""
        steps, minutes = self._settings.every_n_steps, self._settings.every_n_minutes
        if steps and block.has_multiple_of(steps):
            return True
        # Several processes ask one clock, which stops them, so they ask it only now and then.
        if not minutes or not block.has_multiple_of(_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK):
            return False
        return parallel.agree(time.monotonic() - self._saved_at >= 60 * minutes)

    def is_due_after_epoch(
        self, epoch: int, position: Position, last_block: StepBlock, *, is_last: bool
    ) -> bool:
        """Whether a save is due at the end of an epoch, after its evaluation.

        Args:
          epoch: from 0.
          position: where the run stands.
          last_block: the steps taken last.
          is_last: whether training ends here.
        """
        by_epochs = is_last or (epoch + 1) % self._settings.every_n_epochs == 0
        is_new_best = self._settings.keep_best > 0 and position.is_best
        return by_epochs or is_new_best or self.is_due(last_block)

    def save(self, state: TrainState, position: Position, evaluation: dict | None) -> Position:
        """Saves, and returns the position with the time in training up to now.

        Args:
          state: what to save; all metrics up to it must be in their files.
          position: where the run stands.
          evaluation: the metrics of the last evaluation; kept if it was made at this step.
        """
        now = time.monotonic()
        position = position._replace(seconds=position.seconds + now - self._clock)
        self._clock = self._saved_at = now
        metrics = evaluation if position.is_evaluated else None
        self._checkpoints.save(state, position, metrics)
        return position

    def saved_step(self) -> int:
        """The step of the newest checkpoint on disk; 0: there is none."""
        self._checkpoints.wait()
        return max(self._checkpoints.steps(), default=0)

    def interrupted(self, signal_number: int, position: Position, total_steps: int) -> Interrupted:
        """What to raise when the run was asked to stop and has saved: says from where it resumes.

        Args:
          signal_number: the signal that asked.
          position: where the run stands.
          total_steps: of the whole run.
        """
        saved_step = self.saved_step()
        command = f"The same command{self._settings.how_to_resume}"
        if position.step == saved_step:
            saved = f"everything is saved. {command} resumes from there."
        else:
            last = f"step {saved_step}" if saved_step else "the start"
            saved = f"it could not be saved. {command} resumes from {last}."
        return Interrupted(
            signal_number,
            f"Stopped after step {position.step} of {total_steps}; {saved}",
            self._settings.interrupt_exit_code,
        )
