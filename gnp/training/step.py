"""One training step, as a pure function of state and batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from gnp.optimizer.build import set_learning_rate
from gnp.regularization import tree
from gnp.regularization.pruning import Threshold
from gnp.training import parallel
from gnp.training.ema import update_ema
from gnp.training.gradient import PenaltySettings, make_gradient
from gnp.training.groups import Groups
from gnp.training.health import LAYER_NORMS, layer_norms
from gnp.training.objective import Objective
from gnp.training.state import TrainState


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    *,
    penalty: PenaltySettings | None = None,
    groups: Groups | None = None,
    gradient_clipping: float = 0.0,
    reuse: float = 0.0,
    ema_decay: float = 0.0,
    with_layer_norms: bool = False,
    threshold: Threshold | None = None,
) -> Callable[[TrainState, dict], tuple[TrainState, dict]]:
    """A step that `parallel.map_train_step` maps over devices.

    A step whose loss or gradient is not finite leaves parameters, optimizer and statistics as they
    were; it says so in its metrics and is counted in `state.skipped`.

    Args:
      objective: the loss.
      optimizer: from `gnp.optimizer.build_optimizer`.
      learning_rate: schedule of the step.
      penalty: None makes a step of one pass, standard training.
      groups: who shares a perturbation; None: each device's images do.
      gradient_clipping: largest norm of the gradient after mixing and averaging; 0: off.
      reuse: LookSAM's strength (arXiv 2203.02714, algorithm 1): a penalized step keeps the
        component of its gradient orthogonal to g1, and a standard step adds it again, this much as
        long as its own gradient. 0: off. The state must have been created with room for it.
      with_layer_norms: add the norm of each layer's gradient to the metrics, before clipping.
      ema_decay: of the moving average of parameters and batch statistics; 0: off. The state must
        have been created with room for it.
      threshold: makes small parameters zero and keeps them so; None: none.

    Returns:
      `step(state, batch) -> (state, metrics)`; the metrics are scalars on the device.
    """
    gradient_of = make_gradient(objective, penalty, groups or Groups(), threshold)

    def step(state, batch):
        result = gradient_of(state, batch)
        # Only what is used is averaged, so that it stays one reduction of one gradient.
        gradient, batch_stats, metrics = parallel.mean(
            (result.gradient, result.batch_stats, result.metrics)
        )
        reused = state.reused
        r, alpha = _strength(penalty, state.step)
        if reuse and penalty is not None:
            reused = tree.orthogonal_part(gradient, parallel.mean(result.clean_gradient))
            # Without a penalty yet it would be rounding noise, which has a direction too.
            reused = tree.scale(reused, r * alpha > 0)
        elif reuse:
            gradient = tree.add(gradient, tree.unit(reused), reuse * tree.global_norm(gradient))

        norm = tree.global_norm(gradient)
        shrinking = _shrinking(norm, gradient_clipping)
        rate = learning_rate(state.step)
        updates, opt_state = optimizer.update(
            tree.scale(gradient, shrinking),
            set_learning_rate(state.opt_state, rate),
            state.params,
        )
        params = optax.apply_updates(state.params, updates)
        if threshold is not None:
            params = threshold.hold(params, state.params, state.step)
        updated = state.replace(
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            reused=reused,
        )
        if ema_decay:
            count = state.step + 1 - state.skipped
            ema = update_ema(state.ema, updated.variables, decay=ema_decay, count=count)
            updated = updated.replace(ema=ema)
        bad_pass = _pass_that_is_not_finite(metrics, norm)
        kept = jax.tree.map(lambda new, old: jnp.where(bad_pass == 0, new, old), updated, state)
        if threshold is not None:
            kept = _cut(threshold, kept)
        skipped = state.skipped + (bad_pass > 0).astype(jnp.int32)
        metrics |= {
            "gradient_norm_mixed": norm,
            "gradient_norm": shrinking * norm,
            "parameter_norm": tree.global_norm(kept.params),
            "learning_rate": rate,
            "r": r,
            "alpha": alpha,
            "lambda": r * alpha,
            "nonfinite_pass": bad_pass,
            "skipped_steps": skipped,
        }
        if with_layer_norms:
            metrics[LAYER_NORMS] = layer_norms(gradient)
        return kept.replace(step=state.step + 1, skipped=skipped), metrics

    return step


def leave_out(state: TrainState, threshold: Threshold | None = None) -> TrainState:
    """The state after a step that is not taken: it counts, and what ends with it does end."""
    if threshold is not None:
        state = _cut(threshold, state)
    return state.replace(step=state.step + 1, skipped=state.skipped + 1)


def _cut(threshold, state):
    """The state of a step that is about to end, with zeros, of which the averages know too."""
    state = state.replace(params=threshold.cut(state.params, state.step))
    if state.ema is None:
        return state
    averages = threshold.hold(state.ema["params"], state.params, state.step + 1)
    return state.replace(ema=state.ema | {"params": averages})


def _strength(penalty, step):
    return (0.0, 0.0) if penalty is None else (penalty.r(step), penalty.alpha(step))


def _shrinking(norm, largest):
    """The factor that clips a gradient of this norm."""
    return jnp.minimum(1.0, tree.divide(largest, norm)) if largest else 1.0


def _pass_that_is_not_finite(metrics, norm):
    """0: both passes are finite; 1 or 2: the first that is not."""
    first = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm_clean"])
    return jnp.where(first, jnp.where(jnp.isfinite(norm), 0, 2), 1)
