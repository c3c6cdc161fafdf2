"""The kinds of training steps of a run, and which step is of which kind."""

import logging
from collections.abc import Callable
from typing import Any

import jax
import optax
from flax import linen as nn

from gnp.errors import UserError
from gnp.optimizer.schedule import build_schedule
from gnp.regularization.gradient_norm import Form
from gnp.regularization.penalized_steps import penalized_steps, probability_schedule
from gnp.regularization.warmup import penalty_warmup
from gnp.training import parallel
from gnp.training.gradient import PenaltySettings
from gnp.training.groups import Groups, plan_groups
from gnp.training.objective import Objective
from gnp.training.penalties import (
    gradient_penalties,
    sparsity_figures,
    weight_penalties,
    weight_threshold,
)
from gnp.training.state import TrainState
from gnp.training.step import leave_out, make_train_step

_log = logging.getLogger(__name__)


class _Kind:
    """A kind of step, mapped over the devices.

    Attributes:
      one: takes one step, as `parallel.map_train_step` returns it.
      several: takes several, as `parallel.map_train_steps` returns it.
      passes: forward and backward passes of one step.
    """

    def __init__(self, step: Callable, prepare: Callable, passes: int):
        self.one = parallel.map_train_step(step, prepare)
        self.several = parallel.map_train_steps(step, prepare)
        self.passes = passes


class StepKinds:
    """Standard steps of one pass and penalized ones of two; each is compiled at its first use.

    Attributes:
      objective: the loss of both.
      r: radius of the perturbation, a schedule of the step.
      sparsity: shares of zeros as a function of the parameters.
    """

    def __init__(
        self,
        config: Any,
        model: nn.Module,
        optimizer: optax.GradientTransformation,
        steps_per_epoch: int,
        prepare: Callable,
    ):
        """Builds both kinds of steps.

        Args:
          config: the resolved config.
          model: the classifier.
          optimizer: from `gnp.optimizer.build_optimizer`.
          steps_per_epoch: steps in one epoch.
          prepare: the data source's, see `parallel.map_train_step`.

        Raises:
          UserError: a field of the config has a bad value.
        """
        self._steps_per_epoch = steps_per_epoch
        total_steps = config.total_epochs * steps_per_epoch
        gnp = config.gnp
        warmup_steps = _penalty_warmup_steps(config, steps_per_epoch)
        standard_groups, penalized_groups = plan_both_groups(config, jax.device_count())
        self.objective = _objective(config, model, steps_per_epoch)
        self._threshold = weight_threshold(config, steps_per_epoch)
        penalty = PenaltySettings(
            *penalty_warmup(
                config.gr_warmup_strategy, r=gnp.r, alpha=gnp.alpha, warmup_steps=warmup_steps
            ),
            form=penalty_form(config),
            bn_policy=gnp.bn_policy,
        )

        def build(penalty, groups):
            step = make_train_step(
                self.objective,
                optimizer,
                learning_rate(config, steps_per_epoch),
                penalty=penalty,
                groups=groups,
                gradient_clipping=config.gradient_clipping,
                reuse=gnp.reuse,
                ema_decay=config.ema_decay,
                with_layer_norms=config.logging.layer_norms_every > 0,
                threshold=self._threshold,
            )
            return step

        self.sparsity = sparsity_figures(config)
        self.r = penalty.r
        passes = self.objective.gradient_penalties.num_passes
        self._standard = _Kind(build(None, standard_groups), prepare, passes)
        # The exact forms differentiate twice, which takes as much as a second pass.
        passes *= 1 + penalty.form.ascent_steps
        self._penalized = _Kind(build(penalty, penalized_groups), prepare, passes)
        self._has_begun = False
        self._is_standard_training = gnp.r == 0 or gnp.alpha == 0
        self._which = {
            "start": warmup_steps if config.gr_warmup_strategy == "zero" else 0,
            "every": gnp.every,
            "probability": _probability(config, steps_per_epoch),
        }
        if not self._is_standard_training and self._which["start"] >= total_steps:
            _log.warning(
                "The penalty's warmup of %d steps is as long as the run: it is never penalized.",
                self._which["start"],
            )

    def leave_out(self, state: TrainState) -> TrainState:
        """The state after a step that is not taken."""
        return leave_out(state, self._threshold)

    def of_epoch(self, key: jax.Array, epoch: int) -> list["_Kind"]:
        """The kind of each step of an epoch.

        Args:
          key: the run's random key, which decides the draws of hybrid training.
          epoch: from 0.
        """
        if self._is_standard_training:
            return [self._standard] * self._steps_per_epoch
        first = epoch * self._steps_per_epoch
        penalized = penalized_steps(key, first, first + self._steps_per_epoch, **self._which)
        if not self._has_begun and penalized.any():
            self._has_begun = True
            _log.info("The penalty begins with step %d.", first + int(penalized.argmax()) + 1)
        return [self._penalized if is_penalized else self._standard for is_penalized in penalized]


def count_steps(batch_size: int, num_images: int) -> int:
    """Steps in an epoch.

    Raises:
      UserError: the training set is smaller than a batch.
    """
    steps = num_images // batch_size
    if steps == 0:
        raise UserError(
            f"batch_size is {batch_size}, but the training set has only {num_images} images; "
            "choose a smaller batch."
        )
    return steps


def _objective(config, model, steps_per_epoch):
    return Objective(
        model,
        l2=config.l2_regularization,
        l2_on_kernels_only=config.no_weight_decay_on_bn,
        label_smoothing=config.label_smoothing,
        weight_penalties=weight_penalties(config),
        gradient_penalties=gradient_penalties(config),
        steps_per_epoch=steps_per_epoch,
    )


def learning_rate(config: Any, steps_per_epoch: int) -> optax.Schedule:
    """The schedule that a config asks for.

    Raises:
      UserError: a field of it has a bad value.
    """
    scheduled = config.use_learning_rate_schedule
    return build_schedule(
        config.lr_schedule_type if scheduled else "constant",
        base_lr=config.base_lr,
        total_epochs=config.total_epochs,
        warmup_epochs=config.warmup_epochs if scheduled else 0,
        steps_per_epoch=steps_per_epoch,
        milestones=config.lr_stepped_schedule,
    )


def _penalty_warmup_steps(config, steps_per_epoch):
    gnp = config.gnp
    if gnp.warmup_steps is not None:
        return gnp.warmup_steps
    epochs = config.warmup_epochs if gnp.warmup_epochs is None else gnp.warmup_epochs
    return round(epochs * steps_per_epoch)


def penalty_form(config: Any) -> Form:
    """Which penalty a config asks for.

    Raises:
      UserError: a field of it has a bad value.
    """
    gnp = config.gnp
    return Form(
        mode=gnp.mode,
        norm_perturbations=gnp.norm_perturbations,
        ascent=gnp.ascent,
        ascent_steps=gnp.ascent_steps,
        surrogate_gap=gnp.surrogate_gap,
    )


def plan_both_groups(config: Any, num_devices: int) -> tuple[Groups, Groups]:
    """Groups of standard steps, which share nothing, and of those that penalize a gradient norm.

    Raises:
      UserError: the batch does not divide as the config asks.
    """
    sizes = {
        "batch_size": config.batch_size,
        "num_devices": num_devices,
        "accumulation_steps": config.gradient_accumulation_steps,
    }
    m = 0 if config.gnp.sync_perturbations else config.gnp.perturbation_batch
    penalized = plan_groups(**sizes, perturbation_batch=m)
    # The norm of a gradient depends on who shares it, in standard steps too.
    if config.regularization.parameter_gradient.strength:
        return penalized, penalized
    return plan_groups(**sizes), penalized


def _probability(config, steps_per_epoch):
    if not config.use_hybrid_training:
        return None
    hybrid = config.hybrid_config
    return probability_schedule(
        hybrid.schedule,
        p=hybrid.p,
        p_end=hybrid.p_end,
        total_steps=config.total_epochs * steps_per_epoch,
    )
