"""Where a run stands, and how long it is."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from gnp.runs.json_lines import Recorded


class Position(NamedTuple):
    """Where a run stands. A checkpoint holds it with the train state.

    Attributes:
      step: number of steps taken; with the batch size it is the place in the data.
      evaluated_step: the last step after which the model was evaluated; 0 if never.
      best_step: the step of the best evaluation so far; 0 if there was none.
      best_value: its metric; smaller is better.
      evaluations_since_best: number of evaluations after that one.
      seconds: time in training so far, over all starts.
      skipped_steps: steps, counted from 1, that a rollback found not finite; they are not taken.
      recorded_metrics, recorded_timings: what is in these files; None in early checkpoints.
    """

    step: int = 0
    evaluated_step: int = 0
    best_step: int = 0
    best_value: float | None = None
    evaluations_since_best: int = 0
    seconds: float = 0.0
    skipped_steps: tuple[int, ...] = ()
    recorded_metrics: Recorded | None = None
    recorded_timings: Recorded | None = None

    def epoch(self, steps_per_epoch: int) -> int:
        """The epoch, from 0, of the last step taken; the first one before any."""
        return max(self.step - 1, 0) // steps_per_epoch

    @property
    def is_evaluated(self) -> bool:
        """Whether the model was evaluated after the last step."""
        return self.evaluated_step == self.step

    @property
    def is_best(self) -> bool:
        """Whether the best evaluation so far is that of the last step."""
        return self.best_step == self.step

    def is_improved_by(self, value: float) -> bool:
        """Whether a metric is better than all before it."""
        return math.isfinite(value) and (self.best_value is None or value < self.best_value)

    def skipping(self, steps: Iterable[int]) -> "Position":
        """The position of a run that skips these steps too."""
        return self._replace(skipped_steps=tuple(sorted({*self.skipped_steps, *steps})))

    def after_evaluation(self, value: float, *, is_best: bool) -> "Position":
        """The position after an evaluation at its step that gave that metric."""
        if is_best:
            best = {"best_step": self.step, "best_value": value, "evaluations_since_best": 0}
        else:
            best = {"evaluations_since_best": self.evaluations_since_best + 1}
        return self._replace(evaluated_step=self.step, **best)


class RunLength(NamedTuple):
    """How long a run is.

    Attributes:
      total_epochs: epochs.
      steps_per_epoch: steps in each.
      batch_size: images per step, over all processes.
    """

    total_epochs: int
    steps_per_epoch: int
    batch_size: int

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.total_epochs * self.steps_per_epoch

    def is_end_of_epoch(self, step: int) -> bool:
        """Whether an epoch ends with the step of that number, from 1."""
        return step > 0 and step % self.steps_per_epoch == 0
