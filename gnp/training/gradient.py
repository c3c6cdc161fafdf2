"""The gradient of a batch, before averaging over devices: groups, passes, batch statistics."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from gnp.errors import unknown_name
from gnp.regularization import tree
from gnp.regularization.gradient_norm import Form, penalized_gradient
from gnp.regularization.pruning import Threshold
from gnp.training import parallel
from gnp.training.groups import Groups, mean_over_groups
from gnp.training.objective import STREAMS, Objective
from gnp.training.state import TrainState

PyTree = Any

BN_POLICIES = ("clean", "perturbed", "both")

# Folded into a group's key so that the random ascent shares no numbers with the model's streams.
_ASCENT_STREAM = 0x61736331


@dataclasses.dataclass(frozen=True)
class PenaltySettings:
    """How a penalized step perturbs.

    Attributes:
      r: radius, a schedule of the step.
      alpha: weight of the perturbed gradient, likewise.
      form: which penalty.
      bn_policy: whose batch statistics are kept: those of the first pass (`clean`), of the last
        one (`perturbed`), or of one after the other (`both`).
    """

    r: optax.Schedule
    alpha: optax.Schedule
    form: Form = dataclasses.field(default_factory=Form)
    bn_policy: str = "clean"

    def __post_init__(self):
        if self.bn_policy not in BN_POLICIES:
            raise unknown_name("batch-norm policy (gnp.bn_policy)", self.bn_policy, BN_POLICIES)


class BatchGradient(NamedTuple):
    """Means over a device's groups.

    Attributes:
      gradient: what the optimizer gets after averaging over devices.
      clean_gradient: g1.
      batch_stats: new batch statistics.
      metrics: scalars.
    """

    gradient: PyTree
    clean_gradient: PyTree
    batch_stats: PyTree
    metrics: dict[str, jax.Array]


def make_gradient(
    objective: Objective,
    settings: PenaltySettings | None,
    groups: Groups,
    threshold: Threshold | None = None,
) -> Callable[[TrainState, dict], BatchGradient]:
    """The gradient as a function of state and batch, for use inside a mapped step.

    Args:
      objective: the loss.
      settings: None: one pass, standard training.
      groups: who shares a perturbation.
      threshold: which parameters stay zero, perturbed or not; None: none.
    """

    def of_group(state, group, index):
        step_key = jax.random.fold_in(state.key, state.step)

        def key_of(device):
            return jax.random.fold_in(step_key, device * groups.per_device + index)

        key = key_of(parallel.device_index())
        rngs = dict(zip(STREAMS, jax.random.split(key, len(STREAMS)), strict=True))

        def average(gradient):
            return parallel.mean(gradient, group_size=groups.devices)

        def loss_fn(params, batch_stats, **model_arguments):
            if threshold is not None:
                params = threshold.hold(params, state.params, state.step)
            return objective(
                params,
                batch_stats,
                group,
                rngs,
                step=state.step,
                average=average,
                **model_arguments,
            )

        if settings is None:
            return _one_pass(loss_fn, state)
        # Devices that share a perturbation draw the same one.
        shared_key = key_of(parallel.device_index() // groups.devices)
        ascent_key = jax.random.fold_in(shared_key, _ASCENT_STREAM)
        return _all_passes(loss_fn, state, objective, settings, average, ascent_key)

    def gradient_of(state, batch):
        return mean_over_groups(
            lambda group, index: of_group(state, group, index), batch, groups.per_device
        )

    return gradient_of


def _one_pass(loss_fn, state):
    (_, aux), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params, state.batch_stats)
    return BatchGradient(gradient, gradient, aux["batch_stats"], _clean_metrics(aux, gradient))


def _clean_metrics(aux, gradient):
    return {
        "loss": aux["loss"],
        "error_rate": aux["error_rate"],
        **{f"penalty_{name}": value for name, value in aux["penalties"].items()},
        "gradient_norm_clean": tree.global_norm(gradient),
    }


def _all_passes(loss_fn, state, objective, settings, average, ascent_key):
    # Shake models perturb along the gradient of the loss that they computed.
    first_pass_arguments = {"true_gradient": True} if objective.takes_true_gradient else {}
    result = penalized_gradient(
        lambda params: loss_fn(params, state.batch_stats, **first_pass_arguments),
        state.params,
        r=settings.r(state.step),
        alpha=settings.alpha(state.step),
        form=settings.form,
        key=ascent_key,
        average=average,
        perturbed_loss_fn=lambda params, aux: loss_fn(
            params, aux["batch_stats"] if settings.bn_policy == "both" else state.batch_stats
        ),
    )
    metrics = _clean_metrics(result.aux, result.clean_gradient)
    if result.perturbed_gradient is None:
        return BatchGradient(
            result.gradient, result.clean_gradient, result.aux["batch_stats"], metrics
        )
    metrics |= {
        "perturbed_loss": result.perturbed_aux["loss"],
        "perturbed_error_rate": result.perturbed_aux["error_rate"],
        "sharpness": result.perturbed_loss - result.loss,
        "gradient_norm_perturbed": tree.global_norm(result.perturbed_gradient),
        "gradient_cosine": tree.cosine(result.clean_gradient, result.perturbed_gradient),
    }
    kept = result.aux if settings.bn_policy == "clean" else result.perturbed_aux
    return BatchGradient(result.gradient, result.clean_gradient, kept["batch_stats"], metrics)
