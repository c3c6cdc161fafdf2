"""The two kinds of training steps of a run, and which step is of which kind."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from flax import linen as nn

from gnp.optimizer.schedule import build_schedule
from gnp.regularization.hybrid import penalized_steps
from gnp.regularization.warmup import penalty_warmup
from gnp.training import parallel
from gnp.training.step import Objective, make_train_step


class StepKinds:
    """Standard steps of one pass and penalized steps of two; each kind is compiled when needed."""

    def __init__(
        self,
        config: Any,
        model: nn.Module,
        optimizer: optax.GradientTransformation,
        steps_per_epoch: int,
    ):
        gnp = config.gnp
        self._steps_per_epoch = steps_per_epoch
        self._config = config
        warmup_steps = config.warmup_epochs * steps_per_epoch
        objective = Objective(
            model,
            l2=config.l2_regularization,
            l2_on_kernels_only=config.no_weight_decay_on_bn,
            label_smoothing=config.label_smoothing,
        )
        learning_rate = build_schedule(
            config.lr_schedule_type if config.use_learning_rate_schedule else "constant",
            base_lr=config.base_lr,
            total_epochs=config.total_epochs,
            warmup_epochs=config.warmup_epochs if config.use_learning_rate_schedule else 0,
            steps_per_epoch=steps_per_epoch,
            milestones=config.lr_stepped_schedule,
        )
        penalty = penalty_warmup(
            config.gr_warmup_strategy, r=gnp.r, alpha=gnp.alpha, warmup_steps=warmup_steps
        )
        common = {"gradient_clipping": config.gradient_clipping}
        self._standard = parallel.map_train_step(
            make_train_step(objective, optimizer, learning_rate, **common)
        )
        self._penalized = parallel.map_train_step(
            make_train_step(
                objective,
                optimizer,
                learning_rate,
                penalty=penalty,
                norm_perturbations=gnp.norm_perturbations,
                sync_perturbations=gnp.sync_perturbations,
                **common,
            )
        )
        self._start = warmup_steps if config.gr_warmup_strategy == "zero" else 0
        self._is_standard_training = gnp.r == 0 or gnp.alpha == 0

    def for_epoch(self, key: jax.Array, epoch: int) -> Callable[[int], Callable]:
        """A function from the index of a step in this epoch to the mapped step to take.

        Args:
          key: the run's random key, which decides the draws of hybrid training.
          epoch: from 0.
        """
        if self._is_standard_training:
            return lambda index: self._standard
        first = epoch * self._steps_per_epoch
        penalized = penalized_steps(
            key,
            first,
            first + self._steps_per_epoch,
            start=self._start,
            probability=self._config.hybrid_config.p if self._config.use_hybrid_training else None,
        )
        return lambda index: self._penalized if penalized[index] else self._standard
