"""Settings of what happens around the steps: evaluation, saving, logging."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gnp.runs.wandb_writer import require_wandb
from gnp.training.loss import ImageLoss
from gnp.training.monitoring.profiling import steps_to_profile
from gnp.training.position import Position, RunLength
from gnp.training.settings.loss import image_loss_of


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """When a run is evaluated, and what counts as better.

    Attributes:
      every_n_epochs: epochs from one evaluation to the next.
      label_smoothing, image_loss, multi_label: as in training.
      with_top_5: report the top-5 error rate too.
      best_metric: smaller is better.
      patience: stop after so many evaluations without a better one; 0: never.
    """

    every_n_epochs: int
    label_smoothing: float
    image_loss: ImageLoss
    multi_label: bool
    with_top_5: bool
    best_metric: str
    patience: int

    def is_due(self, epoch: int, position: Position, length: RunLength) -> bool:
        """Whether the model is to be evaluated at the end of an epoch."""
        is_last = position.step == length.total_steps
        return not position.is_evaluated and (is_last or (epoch + 1) % self.every_n_epochs == 0)

    def is_patience_over(self, position: Position) -> bool:
        """Whether training stops early."""
        return 0 < self.patience <= position.evaluations_since_best

    @classmethod
    def from_config(cls, config: Any) -> "EvaluationSettings":
        """What a config asks for."""
        return cls(
            every_n_epochs=config.evaluate_every_n_epochs,
            label_smoothing=config.label_smoothing,
            image_loss=image_loss_of(config),
            multi_label=config.dataset.multi_label,
            with_top_5=config.compute_top_5_error_rate,
            best_metric=config.best_metric,
            patience=config.early_stopping_patience,
        )


@dataclasses.dataclass(frozen=True)
class SavingSettings:
    """When a run saves, what it keeps, and how it ends when asked to stop.

    Attributes:
      every_n_epochs, every_n_steps, every_n_minutes: between two saves; 0: not by these.
      keep_latest, keep_best: checkpoints that stay.
      best_metric: what the best is by.
      interrupt_exit_code: 0: 128 + the signal.
      how_to_resume: what to change in the command that started the run; "": nothing.
    """

    every_n_epochs: int
    every_n_steps: int
    every_n_minutes: float
    keep_latest: int
    keep_best: int
    best_metric: str
    interrupt_exit_code: int
    how_to_resume: str

    @classmethod
    def from_config(cls, config: Any) -> "SavingSettings":
        """What a config asks for."""
        return cls(
            every_n_epochs=config.save_ckpt_every_n_epochs,
            every_n_steps=config.save_ckpt_every_n_steps,
            every_n_minutes=config.save_ckpt_every_n_minutes,
            keep_latest=config.keep_latest_checkpoints,
            keep_best=config.keep_best_checkpoints,
            best_metric=config.best_metric,
            interrupt_exit_code=config.interrupt_exit_code,
            how_to_resume=" without retrain" if config.retrain else "",
        )


@dataclasses.dataclass(frozen=True)
class LoggingSettings:
    """What is recorded of the steps.

    Attributes:
      every_n_steps: steps between two records of metrics.
      layer_norms_every: steps between records of each layer's gradient; 0: off.
      loss_spike_threshold: see `gnp.training.monitoring.health.SpikeDetector`; 0: off.
      profile_steps: numbers of the steps that are traced.
      wandb_config: the whole config, for Weights & Biases; None: nothing is sent there.
    """

    every_n_steps: int
    layer_norms_every: int
    loss_spike_threshold: float
    profile_steps: range
    wandb_config: Mapping[str, Any] | None

    @classmethod
    def from_config(cls, config: Any) -> "LoggingSettings":
        """What a config asks for.

        Raises:
          UserError: `profile_steps` is malformed, or Weights & Biases is not installed.
        """
        block = config.logging
        if block.wandb:
            require_wandb()
        return cls(
            every_n_steps=block.tensorboard_logging_frequency,
            layer_norms_every=block.layer_norms_every,
            loss_spike_threshold=block.loss_spike_threshold,
            profile_steps=steps_to_profile(config.profile_steps),
            wandb_config=config.to_dict() if block.wandb else None,
        )
