"""One training step, as a pure function of state and batch."""

import dataclasses
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from gnp.optimizer.build import set_learning_rate
from gnp.regularization import gradient_norm
from gnp.regularization.warmup import Penalty
from gnp.training import loss as losses
from gnp.training import parallel
from gnp.training.state import TrainState

# Random streams that a model may draw from.
_STREAMS = ("dropout", "shake", "drop_path")


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of a batch.

    Attributes:
      model: the classifier.
      l2: strength of the L2 term, which is part of the loss and so of every gradient.
      l2_on_kernels_only: leave biases and norm parameters out of it.
      label_smoothing: share of each label spread over all classes.
    """

    model: nn.Module
    l2: float = 0.0
    l2_on_kernels_only: bool = False
    label_smoothing: float = 0.0

    def __call__(self, params, batch_stats, batch, rngs, **model_arguments):
        """Loss, and beside it new statistics, cross entropy and error rate."""
        logits, updated = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
            rngs=rngs,
            **model_arguments,
        )
        labels = losses.smooth_labels(batch["label"], self.label_smoothing)
        cross_entropy = jnp.mean(losses.cross_entropy(logits, labels))
        loss = cross_entropy
        if self.l2:
            loss += self.l2 * losses.l2_penalty(params, kernels_only=self.l2_on_kernels_only)
        aux = {
            "batch_stats": updated.get("batch_stats", {}),
            "loss": cross_entropy,
            "error_rate": jnp.mean(losses.top_k_errors(logits, batch["label"])),
        }
        return loss, aux

    @property
    def takes_true_gradient(self) -> bool:
        """Whether the model is a shake model, which mixes alike forward and backward on request."""
        return "true_gradient" in inspect.signature(type(self.model).__call__).parameters


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    *,
    penalty: Penalty | None = None,
    norm_perturbations: bool = False,
    sync_perturbations: bool = False,
    gradient_clipping: float = 0.0,
) -> Callable[[TrainState, dict], tuple[TrainState, dict]]:
    """A step that `parallel.map_train_step` maps over devices.

    Args:
      objective: the loss.
      optimizer: from `gnp.optimizer.build_optimizer`.
      learning_rate: schedule of the step.
      penalty: schedules of r and alpha; None makes a step of one pass, standard training.
      norm_perturbations: mix the unit gradient instead of the gradient.
      sync_perturbations: one perturbation for all devices instead of one for each.
      gradient_clipping: largest norm of the mixed gradient after averaging; 0: off.

    Returns:
      `step(state, batch) -> (state, metrics)`; the metrics are scalars on the device.
    """
    clip = optax.clip_by_global_norm(gradient_clipping) if gradient_clipping else optax.identity()

    def gradient_of(state, batch):
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), parallel.device_index())
        rngs = dict(zip(_STREAMS, jax.random.split(key, len(_STREAMS)), strict=True))

        def loss(params, **model_arguments):
            return objective(params, state.batch_stats, batch, rngs, **model_arguments)

        if penalty is None:
            return _one_pass(loss, state.params)
        first_pass_arguments = {"true_gradient": True} if objective.takes_true_gradient else {}
        return _two_passes(
            lambda params: loss(params, **first_pass_arguments),
            lambda params, _: loss(params),
            state.params,
            r=penalty.r(state.step),
            alpha=penalty.alpha(state.step),
            norm_perturbations=norm_perturbations,
            average=parallel.mean if sync_perturbations else lambda tree: tree,
        )

    def step(state, batch):
        gradient, batch_stats, metrics = parallel.mean(gradient_of(state, batch))
        clipped, _ = clip.update(gradient, clip.init(state.params))
        rate = learning_rate(state.step)
        updates, opt_state = optimizer.update(
            clipped, set_learning_rate(state.opt_state, rate), state.params
        )
        params = optax.apply_updates(state.params, updates)
        metrics |= {
            "gradient_norm_mixed": gradient_norm.global_norm(gradient),
            "gradient_norm": gradient_norm.global_norm(clipped),
            "parameter_norm": gradient_norm.global_norm(params),
            "learning_rate": rate,
        }
        state = state.replace(
            step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state
        )
        return state, metrics

    return step


def _one_pass(loss_fn, params):
    (_, aux), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
    metrics = {
        "loss": aux["loss"],
        "error_rate": aux["error_rate"],
        "gradient_norm_clean": gradient_norm.global_norm(gradient),
        "r": 0.0,
        "alpha": 0.0,
        "lambda": 0.0,
    }
    return gradient, aux["batch_stats"], metrics


def _two_passes(loss_fn, perturbed_loss_fn, params, *, r, alpha, **options):
    result = gradient_norm.penalized_gradient(
        loss_fn, params, r=r, alpha=alpha, perturbed_loss_fn=perturbed_loss_fn, **options
    )
    metrics = {
        "loss": result.aux["loss"],
        "error_rate": result.aux["error_rate"],
        "perturbed_loss": result.perturbed_aux["loss"],
        "perturbed_error_rate": result.perturbed_aux["error_rate"],
        "sharpness": result.perturbed_loss - result.loss,
        "gradient_norm_clean": gradient_norm.global_norm(result.clean_gradient),
        "gradient_norm_perturbed": gradient_norm.global_norm(result.perturbed_gradient),
        "gradient_cosine": gradient_norm.cosine(result.clean_gradient, result.perturbed_gradient),
        "r": r,
        "alpha": alpha,
        "lambda": r * alpha,
    }
    return result.gradient, result.aux["batch_stats"], metrics
