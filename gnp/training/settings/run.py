"""The settings of a run: what a config asks for, checked once. Below this nobody reads a config."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import optax
from flax import linen as nn

from gnp.batch_size import steps_per_epoch
from gnp.errors import UserError
from gnp.optimizer import weight_decay
from gnp.optimizer.build import build_optimizer
from gnp.optimizer.parameter_groups import ParameterGroups
from gnp.optimizer.schedule import build_schedule
from gnp.training import freeze
from gnp.training.nonfinite import NonFinitePolicy
from gnp.training.perturbation_groups import PerturbationGroups
from gnp.training.position import RunLength
from gnp.training.settings.around_steps import EvaluationSettings, LoggingSettings, SavingSettings
from gnp.training.settings.checks import LARGEST_INT, check_fields
from gnp.training.settings.loss import LossSettings
from gnp.training.settings.penalty import PenaltySettings
from gnp.training.settings.perturbation_groups import read_groups
from gnp.training.state import TrainState, create_state
from gnp.training.step_schedule import StepSchedule

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer and its learning rate.

    Attributes:
      transformation: from `gnp.optimizer.build.build_optimizer`.
      learning_rate: schedule of the step, made of the number of steps in an epoch.
      gradient_clipping: largest norm of the gradient; 0: off.
      freeze: patterns of the parameters that are not trained.
      groups: what the transformation does differently to some of the others.
    """

    transformation: optax.GradientTransformation
    learning_rate: Callable[[int], optax.Schedule]
    gradient_clipping: float
    freeze: Sequence[str]
    groups: ParameterGroups

    @classmethod
    def from_config(cls, config: Any) -> "OptimizerSettings":
        """What a config asks for.

        Raises:
          UserError: a name is unknown, or a field has a bad value.
        """
        if config.warmup_epochs >= config.total_epochs:
            raise UserError(
                f"warmup_epochs is {config.warmup_epochs}, but training ends after total_epochs = "
                f"{config.total_epochs}; choose a shorter warmup."
            )
        if config.opt.opt_type == "Muon" and config.model.model_params.get("scan_layers"):
            raise UserError(
                "Muon makes the update of each matrix orthogonal, and scan_layers stacks those of "
                "all layers; switch scan_layers off, or choose another opt.opt_type."
            )
        groups = ParameterGroups.from_config(config)
        is_scheduled = config.use_learning_rate_schedule
        learning_rate = functools.partial(
            build_schedule,
            config.lr_schedule_type if is_scheduled else "constant",
            base_lr=config.base_lr,
            total_epochs=config.total_epochs,
            warmup_epochs=config.warmup_epochs if is_scheduled else 0,
            milestones=config.lr_stepped_schedule,
        )
        learning_rate(steps_per_epoch=1)  # says at once what is wrong with it
        return cls(
            build_optimizer(
                config.opt.opt_type,
                config.opt.opt_params,
                decays=groups.decays if groups.rules or groups.spares_vectors else None,
                rates=None if groups.are_rates_equal else groups.rates,
            ),
            lambda steps_per_epoch: learning_rate(steps_per_epoch=steps_per_epoch),
            config.gradient_clipping,
            config.opt.freeze,
            groups,
        )


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that training takes from a config.

    Attributes:
      batch_size: images per step, over all devices.
      total_epochs: length of training.
      init_seed: seed of the initial parameters.
      seed: seed of everything random in training.
      steps_per_loop: steps that are fused into one program.
      ema_decay: of the moving average of the model; 0: off.
      standard_groups, penalized_groups: perturbation groups of the two types of steps.
      optimizer, loss, penalty, nonfinite, evaluation, saving, logging: one block each.
    """

    batch_size: int
    total_epochs: int
    init_seed: int
    seed: int
    steps_per_loop: int
    ema_decay: float
    standard_groups: PerturbationGroups
    penalized_groups: PerturbationGroups
    optimizer: OptimizerSettings
    loss: LossSettings
    penalty: PenaltySettings
    nonfinite: NonFinitePolicy
    evaluation: EvaluationSettings
    saving: SavingSettings
    logging: LoggingSettings

    def length(self, num_train_images: int) -> RunLength:
        """How long a run is.

        Raises:
          UserError: the training set is smaller than a batch, or there are too many steps.
        """
        steps = steps_per_epoch(self.batch_size, num_train_images)
        length = RunLength(self.total_epochs, steps, self.batch_size)
        if length.total_steps > LARGEST_INT:
            raise UserError(
                f"total_epochs is {self.total_epochs}, which is {length.total_steps} steps; a run "
                f"has at most {LARGEST_INT}."
            )
        return length

    def step_schedule(
        self, steps_per_epoch: int, steps_per_loop: int | None = None
    ) -> StepSchedule:
        """What each step is; None: as many steps are fused as the config says."""
        total_steps = self.total_epochs * steps_per_epoch
        return StepSchedule(
            steps_per_epoch,
            steps_per_loop or self.steps_per_loop,
            self.penalty.penalized_steps(steps_per_epoch, total_steps),
        )

    def initial_state(self, model: nn.Module, image_shape: tuple[int, int, int]) -> TrainState:
        """The state before the first step."""
        state = create_state(
            model,
            self.optimizer.transformation,
            image_shape=image_shape,
            init_seed=self.init_seed,
            seed=self.seed,
            ascent=self.penalty.ascent_in_use,
            with_ema=self.ema_decay > 0,
            freeze=self.optimizer.freeze,
        )
        freeze.log_counts(state.params, state.frozen)
        self.optimizer.groups.log_rates(state.params)
        if self.loss.l2_on_kernels_only:
            weight_decay.log_counts(state.params)
        return state


def read_settings(config: Any, *, num_devices: int) -> Settings:
    """The settings that a config asks for.

    >>> settings = read_settings(gnp.load_config("digits"), num_devices=1)
    >>> settings.batch_size, settings.total_epochs
    (64, 30)

    Args:
      config: the resolved config.
      num_devices: devices that share a batch, over all processes.

    Raises:
      UserError: a field has a bad value, or two do not go together; names the field, what it holds
        and what it may hold.
    """
    check_fields(config)
    standard_groups, penalized_groups = read_groups(config, num_devices)
    penalty = PenaltySettings.from_config(config)
    penalty.check_share(penalized_groups.size_on_device(config.batch_size, num_devices))
    return Settings(
        batch_size=config.batch_size,
        total_epochs=config.total_epochs,
        init_seed=config.init_seeds,
        seed=config.seeds,
        steps_per_loop=config.steps_per_loop,
        ema_decay=config.ema_decay,
        standard_groups=standard_groups,
        penalized_groups=penalized_groups,
        optimizer=OptimizerSettings.from_config(config),
        loss=LossSettings.from_config(config),
        penalty=penalty,
        nonfinite=NonFinitePolicy(config.on_nonfinite, config.max_rollbacks),
        evaluation=EvaluationSettings.from_config(config),
        saving=SavingSettings.from_config(config),
        logging=LoggingSettings.from_config(config),
    )
