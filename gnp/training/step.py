"""One training step: gradient, mean over the devices, clipping, optimizer, guard."""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from gnp.optimizer.build import set_learning_rate
from gnp.regularization import tree
from gnp.regularization.pruning import Threshold, with_cut, with_held_zeros
from gnp.training.ema import with_moving_average
from gnp.training.gradient import Penalty, make_gradient, unconstrained
from gnp.training.monitoring.health import LAYER_NORMS, layer_norms
from gnp.training.nonfinite import guarded
from gnp.training.objective import Objective
from gnp.training.perturbation_groups import PerturbationGroups
from gnp.training.state import TrainState

_ONE_GROUP_PER_DEVICE = PerturbationGroups()

Step = Callable[[TrainState, dict], tuple[TrainState, dict]]


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    *,
    penalty: Penalty | None = None,
    is_penalized: bool = True,
    groups: PerturbationGroups = _ONE_GROUP_PER_DEVICE,
    gradient_clipping: float = 0.0,
    ema_decay: float = 0.0,
    with_layer_norms: bool = False,
    threshold: Threshold | None = None,
) -> Step:
    """A step that `parallel.map_train_step` maps over devices.

    A step whose loss or gradient is not finite leaves parameters, optimizer and statistics as they
    were; it says so in its metrics and is counted in `state.skipped`.

    >>> from gnp.model import create_model
    >>> from gnp.optimizer.build import build_optimizer
    >>> step = make_train_step(
    ...     Objective(create_model("WideResNet_10_1", num_outputs=10)),
    ...     build_optimizer("Momentum", {}),
    ...     optax.constant_schedule(0.1),
    ...     penalty=Penalty(r=lambda step: 0.1, alpha=lambda step: 0.8),
    ... )
    >>> callable(step)
    True

    Args:
      objective: the loss.
      optimizer: from `gnp.optimizer.build_optimizer`.
      learning_rate: schedule of the step.
      penalty: of the run; None: standard training. The state must have been created with the
        memory of its ascent.
      is_penalized: False: a standard step of a run with the penalty.
      groups: which images form a perturbation group; by default those of one device.
      gradient_clipping: largest norm of the gradient after mixing and averaging; 0: off.
      ema_decay: of the moving average of parameters and batch statistics; 0: off. The state must
        have been created with room for it.
      with_layer_norms: add the norm of each layer's gradient to the metrics, before clipping.
      threshold: prunes small parameters; None: none.

    Returns:
      `step(state, batch) -> (state, metrics)`; the metrics are scalars on the device.
    """
    constrain = unconstrained if threshold is None else threshold.hold
    gradient_of = make_gradient(
        objective, penalty, groups, is_penalized=is_penalized, constrain=constrain
    )

    def update(state, batch):
        gradient, batch_stats, ascent_memory, metrics = gradient_of(state, batch)
        norm = tree.global_norm(gradient)
        shrinking = _shrinking(norm, gradient_clipping)
        rate = learning_rate(state.step)
        updates, opt_state = optimizer.update(
            tree.scale(gradient, shrinking), set_learning_rate(state.opt_state, rate), state.params
        )
        updated = state.replace(
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
            ascent_memory=ascent_memory,
        )
        metrics |= {
            "gradient_norm_mixed": norm,
            "gradient_norm": shrinking * norm,
            "learning_rate": rate,
        }
        if with_layer_norms:
            metrics[LAYER_NORMS] = layer_norms(gradient)
        return updated, metrics

    if threshold is not None:
        update = with_held_zeros(update, threshold)
    if ema_decay:
        update = with_moving_average(update, ema_decay)
    step = guarded(update)
    return step if threshold is None else with_cut(step, threshold)


def _shrinking(norm, largest):
    """The factor that clips a gradient of this norm."""
    return jnp.minimum(1.0, tree.divide(largest, norm)) if largest else 1.0
