"""The gradient of a training step: perturbation groups, passes, mean over the devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from gnp.errors import unknown_name
from gnp.regularization import tree
from gnp.regularization.gradient_norm import PenaltyForm, penalized_gradient
from gnp.regularization.reuse import Reuse
from gnp.training import parallel
from gnp.training.groups import PerturbationGroups, mean_over_groups
from gnp.training.objective import STREAMS, Objective
from gnp.training.state import TrainState

PyTree = Any

BN_POLICIES = ("clean", "perturbed", "both")

# Folded into a group's key so that the random ascent shares no numbers with the model's streams.
_ASCENT_STREAM = 0x61736331


@dataclasses.dataclass(frozen=True)
class Penalty:
    """The penalty on the gradient norm, as a penalized step computes it.

    Attributes:
      r: radius of the perturbation, a schedule of the step.
      alpha: weight of the perturbed gradient, likewise.
      form: which penalty.
      bn_policy: whose batch statistics are kept: those of the first pass (`clean`), of the last
        one (`perturbed`), or of one after the other (`both`).
    """

    r: optax.Schedule
    alpha: optax.Schedule
    form: PenaltyForm = dataclasses.field(default_factory=PenaltyForm)
    bn_policy: str = "clean"

    def __post_init__(self):
        if self.bn_policy not in BN_POLICIES:
            raise unknown_name("batch-norm policy (gnp.bn_policy)", self.bn_policy, BN_POLICIES)


class StepGradient(NamedTuple):
    """What a step learns from its batch, the mean over all devices.

    Attributes:
      gradient: what the optimizer gets before clipping.
      batch_stats: new batch statistics.
      reused: LookSAM's memory; None without.
      metrics: scalars.
    """

    gradient: PyTree
    batch_stats: PyTree
    reused: PyTree | None
    metrics: dict[str, jax.Array]


class _GroupGradient(NamedTuple):
    """The same of one perturbation group, with g1."""

    gradient: PyTree
    clean_gradient: PyTree
    batch_stats: PyTree
    metrics: dict[str, jax.Array]


def unconstrained(params: PyTree, start: PyTree, step: jax.Array) -> PyTree:
    """The constraint of a run without pruning: none."""
    del start, step
    return params


def make_gradient(
    objective: Objective,
    penalty: Penalty | None,
    groups: PerturbationGroups,
    *,
    reuse: Reuse | None = None,
    constrain: Callable[[PyTree, PyTree, jax.Array], PyTree] = unconstrained,
) -> Callable[[TrainState, dict], StepGradient]:
    """The gradient as a function of state and batch, for use inside a mapped step.

    Args:
      objective: the loss.
      penalty: None: one pass, standard training.
      groups: which images form a perturbation group.
      reuse: LookSAM; the state must have room for its memory.
      constrain: `(params, params at the start of the step, step) -> params`, applied to perturbed
        parameters too, such as `gnp.regularization.pruning.Threshold.hold`.
    """

    def of_group(state, group, index):
        rngs, ascent_key = _keys(state, groups, index)
        average = functools.partial(parallel.mean, group_size=groups.devices)

        def loss_fn(params, batch_stats, **model_arguments):
            return objective(
                constrain(params, state.params, state.step),
                batch_stats,
                group,
                rngs,
                step=state.step,
                average=average,
                **model_arguments,
            )

        if penalty is None:
            return _one_pass(loss_fn, state)
        return _all_passes(loss_fn, state, objective, penalty, average, ascent_key)

    def gradient_of(state, batch):
        of_device = mean_over_groups(functools.partial(of_group, state), batch, groups.per_device)
        # Only what is used is averaged, so that it stays one reduction of one gradient.
        gradient, batch_stats, metrics = parallel.mean(
            (of_device.gradient, of_device.batch_stats, of_device.metrics)
        )
        r, alpha = _strength(penalty, state.step)
        reused = state.reused
        if reuse is not None and penalty is not None:
            reused = reuse.remember(gradient, parallel.mean(of_device.clean_gradient), r * alpha)
        elif reuse is not None:
            gradient = reuse.add(gradient, reused)
        metrics |= {"r": r, "alpha": alpha, "lambda": r * alpha}
        return StepGradient(gradient, batch_stats, reused, metrics)

    return gradient_of


def _keys(state, groups, index):
    """The random keys of a group: those of the model's streams, and that of the ascent."""
    step_key = jax.random.fold_in(state.key, state.step)

    def key_of(device):
        return jax.random.fold_in(step_key, device * groups.per_device + index)

    keys = jax.random.split(key_of(parallel.device_index()), len(STREAMS))
    # Devices of one perturbation group use the same random ascent.
    shared_key = key_of(parallel.device_index() // groups.devices)
    return dict(zip(STREAMS, keys, strict=True)), jax.random.fold_in(shared_key, _ASCENT_STREAM)


def _strength(penalty, step):
    return (0.0, 0.0) if penalty is None else (penalty.r(step), penalty.alpha(step))


def _one_pass(loss_fn, state):
    (_, aux), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params, state.batch_stats)
    return _GroupGradient(gradient, gradient, aux["batch_stats"], _clean_metrics(aux, gradient))


def _clean_metrics(aux, gradient):
    return {
        "loss": aux["loss"],
        "error_rate": aux["error_rate"],
        **{f"penalty_{name}": value for name, value in aux["penalties"].items()},
        "gradient_norm_clean": tree.global_norm(gradient),
    }


def _all_passes(loss_fn, state, objective, penalty, average, ascent_key):
    # Shake models perturb along the gradient of the loss that they computed.
    first_pass_arguments = {"true_gradient": True} if objective.takes_true_gradient else {}
    result = penalized_gradient(
        lambda params: loss_fn(params, state.batch_stats, **first_pass_arguments),
        state.params,
        r=penalty.r(state.step),
        alpha=penalty.alpha(state.step),
        form=penalty.form,
        key=ascent_key,
        average=average,
        perturbed_loss_fn=lambda params, aux: loss_fn(
            params, aux["batch_stats"] if penalty.bn_policy == "both" else state.batch_stats
        ),
    )
    metrics = _clean_metrics(result.aux, result.clean_gradient)
    if result.perturbed_gradient is None:
        return _GroupGradient(
            result.gradient, result.clean_gradient, result.aux["batch_stats"], metrics
        )
    metrics |= {
        "perturbed_loss": result.perturbed_aux["loss"],
        "perturbed_error_rate": result.perturbed_aux["error_rate"],
        "sharpness": result.perturbed_loss - result.loss,
        "gradient_norm_perturbed": tree.global_norm(result.perturbed_gradient),
        "gradient_cosine": tree.cosine(result.clean_gradient, result.perturbed_gradient),
    }
    kept = result.aux if penalty.bn_policy == "clean" else result.perturbed_aux
    return _GroupGradient(result.gradient, result.clean_gradient, kept["batch_stats"], metrics)
