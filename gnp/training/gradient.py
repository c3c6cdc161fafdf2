"""The gradient of a training step: perturbation groups, passes, mean over the devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from gnp.errors import unknown_name
from gnp.regularization import tree
from gnp.regularization.ascent import StepGradients
from gnp.regularization.passes import PenaltyForm, penalized_gradient
from gnp.training import parallel
from gnp.training.objective import STREAMS, Objective
from gnp.training.perturbation_groups import PerturbationGroups, mean_over_groups
from gnp.training.state import TrainState

PyTree = Any

BN_POLICIES = ("clean", "perturbed", "both")

# Folded into a group's key so that the random ascent shares no numbers with the model's streams.
_ASCENT_STREAM = 0x61736331


@dataclasses.dataclass(frozen=True)
class Penalty:
    """The penalty on the gradient norm, as a penalized step computes it.

    >>> penalty = Penalty(r=optax.constant_schedule(0.1), alpha=optax.constant_schedule(0.8))
    >>> penalty.form.num_passes
    2.0

    Attributes:
      r: radius of the perturbation, a schedule of the step.
      alpha: weight of the perturbed gradient, likewise.
      form: which penalty.
      bn_policy: whose batch statistics are kept: those of the first pass (`clean`), of the last
        one (`perturbed`), or of one after the other (`both`). A form of one pass has only those of
        that pass.
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
      ascent_memory: what the ascent remembers; None without.
      metrics: scalars.
    """

    gradient: PyTree
    batch_stats: PyTree
    ascent_memory: PyTree | None
    metrics: dict[str, jax.Array]


class _GroupGradient(NamedTuple):
    """The same of one perturbation group, with g1, which is None if there was no pass at θ."""

    gradient: PyTree
    clean_gradient: PyTree | None
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
    is_penalized: bool = True,
    constrain: Callable[[PyTree, PyTree, jax.Array], PyTree] = unconstrained,
) -> Callable[[TrainState, dict], StepGradient]:
    """The gradient as a function of state and batch, for use inside a mapped step.

    Args:
      objective: the loss.
      penalty: the penalty of the run; None: standard training. The state must hold the memory of
        its ascent.
      groups: which images form a perturbation group.
      is_penalized: False: a standard step of a run with the penalty.
      constrain: `(params, params at the start of the step, step) -> params`, applied to perturbed
        parameters too, such as `gnp.regularization.pruning.Threshold.hold`.
    """

    is_penalized = is_penalized and penalty is not None

    def of_group(state, group, index):
        rngs, ascent_key = _keys(state, groups, index)
        average = functools.partial(parallel.mean, group_size=groups.devices)

        def loss_fn(params, batch_stats, images=group, **model_arguments):
            return objective(
                constrain(params, state.params, state.step),
                batch_stats,
                images,
                rngs,
                frozen=state.frozen,
                step=state.step,
                average=average,
                **model_arguments,
            )

        if not is_penalized:
            return _one_pass(loss_fn, state)
        return _all_passes(loss_fn, state, group, objective, penalty, average, ascent_key)

    def gradient_of(state, batch):
        of_device = mean_over_groups(functools.partial(of_group, state), batch, groups.per_device)
        # Only what is used is averaged, so that it stays one reduction of one gradient.
        gradient, batch_stats, metrics = parallel.mean(
            (of_device.gradient, of_device.batch_stats, of_device.metrics)
        )
        r, alpha = _strength(penalty if is_penalized else None, state)
        metrics |= {"r": r, "alpha": alpha, "lambda": r * alpha}
        memory = state.ascent_memory
        if memory is not None and is_penalized:
            clean = parallel.mean(of_device.clean_gradient)
            found = StepGradients(gradient, clean, r * alpha, metrics["loss"])
            memory = penalty.form.ascent.update(memory, found)
        elif memory is not None:
            gradient, memory = penalty.form.ascent.standard_step(gradient, memory)
        return StepGradient(gradient, batch_stats, memory, metrics)

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


def _strength(penalty, state):
    if penalty is None:
        return 0.0, 0.0
    r = penalty.r(state.step) * penalty.form.ascent.radius_factor(state.ascent_memory)
    return r, penalty.alpha(state.step)


def _one_pass(loss_fn, state):
    (_, aux), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params, state.batch_stats)
    metrics = _loss_metrics(aux) | {"gradient_norm_clean": tree.global_norm(gradient)}
    return _GroupGradient(gradient, gradient, aux["batch_stats"], metrics)


def _all_passes(loss_fn, state, group, objective, penalty, average, ascent_key):
    form, bn_policy = penalty.form, penalty.bn_policy
    part = first_part(group, form.ascent_share)
    # Shake models perturb along the gradient of the loss that they computed.
    first_pass_arguments = {"true_gradient": True} if objective.takes_true_gradient else {}

    def last_loss_fn(params, aux):
        stats = aux["batch_stats"] if bn_policy == "both" and aux else state.batch_stats
        return loss_fn(params, stats)

    r, alpha = _strength(penalty, state)
    result = penalized_gradient(
        lambda params: loss_fn(params, state.batch_stats, images=part, **first_pass_arguments),
        state.params,
        r=r,
        alpha=alpha,
        form=form,
        memory=state.ascent_memory,
        key=ascent_key,
        average=average,
        average_over_all=parallel.mean,
        perturbed_loss_fn=last_loss_fn,
    )
    is_perturbed = result.perturbed_gradient is not None and bn_policy != "clean"
    kept = result.perturbed_aux if is_perturbed else result.aux
    return _GroupGradient(
        result.gradient, result.clean_gradient, kept["batch_stats"], _metrics(result, form)
    )


def first_part(images: dict, share: float) -> dict:
    """The first images of a group, this share of them. Batches are shuffled, so any would do."""
    if share == 1:
        return images
    return {name: array[: round(share * len(array))] for name, array in images.items()}


def _loss_metrics(aux):
    return {
        "loss": aux["loss"],
        "error_rate": aux["error_rate"],
        **{f"penalty_{name}": value for name, value in aux["penalties"].items()},
    }


def _metrics(result, form):
    metrics = _loss_metrics(result.aux)
    clean, perturbed = result.clean_gradient, result.perturbed_gradient
    if clean is not None:
        metrics["gradient_norm_clean"] = tree.global_norm(clean)
    if perturbed is not None:
        metrics |= {
            "perturbed_loss": result.perturbed_aux["loss"],
            "perturbed_error_rate": result.perturbed_aux["error_rate"],
            "gradient_norm_perturbed": tree.global_norm(perturbed),
        }
    if clean is not None and perturbed is not None:
        metrics["gradient_cosine"] = tree.cosine(clean, perturbed)
    # The two losses of different images differ whatever the sharpness.
    if "gradient_cosine" in metrics and form.ascent_share == 1:
        metrics["sharpness"] = result.perturbed_loss - result.loss
    return metrics
