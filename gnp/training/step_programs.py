"""The compiled programs of a run: standard and penalized steps, one or several at a time."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from gnp.training import parallel
from gnp.training.nonfinite import skip_step
from gnp.training.settings.run import Settings
from gnp.training.state import TrainState
from gnp.training.step import make_train_step
from gnp.training.step_schedule import StepBlock


class StepPrograms:
    """Takes blocks of steps. Each program is compiled at its first use.

    Attributes:
      objective: the loss of all steps.
      r: radius of the perturbation, a schedule of the step.
    """

    def __init__(
        self, settings: Settings, model: nn.Module, steps_per_epoch: int, prepare: Callable
    ):
        """Builds the programs.

        Args:
          settings: of the run.
          model: the classifier.
          steps_per_epoch: steps in an epoch.
          prepare: the data source's, see `parallel.map_train_step`.
        """
        self.objective = settings.loss.objective(model, steps_per_epoch)
        self._threshold = settings.loss.threshold(steps_per_epoch)
        total_steps = settings.total_epochs * steps_per_epoch
        penalty = settings.penalty.in_steps(steps_per_epoch, total_steps)
        self.r = penalty.r if penalty else lambda step: 0.0

        def mapped(is_penalized, groups):
            step = make_train_step(
                self.objective,
                settings.optimizer.transformation,
                settings.optimizer.learning_rate(steps_per_epoch),
                penalty=penalty,
                is_penalized=is_penalized,
                groups=groups,
                gradient_clipping=settings.optimizer.gradient_clipping,
                ema_decay=settings.ema_decay,
                with_layer_norms=settings.logging.layer_norms_every > 0,
                threshold=self._threshold,
            )
            return (
                parallel.map_train_step(step, prepare),
                parallel.map_train_step(step, prepare, several=True),
            )

        self._standard = mapped(False, settings.standard_groups)
        self._penalized = mapped(True, settings.penalized_groups)
        self._standard_passes = self.objective.gradient_penalties.num_passes
        self._penalized_passes = self._standard_passes * settings.penalty.form.num_passes

    def take(
        self, block: StepBlock, state: TrainState, device_data: Any, batch: Any
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Takes the steps of a block; the state's buffers are reused.

        Args:
          block: the steps.
          state: on all devices.
          device_data: what the source keeps on the devices.
          batch: what `send` returned.

        Returns:
          The state, and the metrics of one step, or arrays with a value for each step.
        """
        return self.program(block)(state, device_data, batch)

    def program(self, block: StepBlock) -> Callable:
        """The mapped function that takes the steps of a block."""
        one, several = self._penalized if block.is_penalized else self._standard
        return one if block.count == 1 else several

    def passes(self, block: StepBlock) -> float:
        """Forward and backward passes of one step of a block."""
        return self._penalized_passes if block.is_penalized else self._standard_passes

    def skip(self, state: TrainState) -> TrainState:
        """The state after a step that is not taken."""
        return skip_step(state, self._threshold)


def send(batches: list[Any]) -> Any:
    """The batches of a block, split over the devices and on their way to them."""
    return parallel.split(batches[0]) if len(batches) == 1 else parallel.split_several(batches)
