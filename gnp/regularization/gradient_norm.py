"""The training gradient: the gradient of a loss with a penalty on the gradient's norm.

For L + λ‖∇L‖ with λ = α·r, "Penalizing Gradient Norm for Efficiently Improving Generalization in
Deep Learning" (arXiv 2202.03599, section 3) takes two passes:

    g1 = ∇L(θ)                  first pass
    v  = g1 / ‖g1‖              over all parameters together; 0 where ‖g1‖ = 0
    g2 = ∇L(θ + r·v)            second pass; v is a constant, nothing is differentiated through it
    g  = (1 − α)·g1 + α·g2

α = 1 is SAM (arXiv 2010.01412); α = 0 or r = 0 is standard training. The exact gradient of the same
objective is g1 + λ·H·v, H being the Hessian; the two passes tend to it as r → 0 with λ fixed.

An ascent that takes v from past gradients needs no first pass: g = ∇L(θ + r·v), at the cost of
standard training. `gnp.regularization.ascent` has all of them, `gnp.regularization.passes` the
passes.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gnp.regularization import control_flow, tree
from gnp.regularization.ascent import Ascent, StepGradients
from gnp.regularization.ascent import ascent as ascent_named
from gnp.regularization.passes import PenalizedGradient, PenaltyForm, penalized_gradient

__all__ = [
    "GradientMetrics",
    "PenalizedGradient",
    "PenaltyForm",
    "StatefulValueAndGrad",
    "penalized_gradient",
    "value_and_grad",
]

PyTree = Any


class GradientMetrics(NamedTuple):
    r"""What the passes tell about a step, as scalars; nan where a pass was not made.

    >>> penalized = value_and_grad(lambda w: jnp.sum(w**2), r=0.5, alpha=0.8, with_metrics=True)
    >>> loss, gradient, metrics = penalized(jnp.array([3.0, 4.0]))
    >>> print(f"{metrics.gradient_norm:.2f} {metrics.perturbed_loss:.2f}")
    10.00 30.25

    Attributes:
      gradient_norm: :math:`\|g_1\|`.
      perturbed_loss: :math:`L(\theta + r v)`.
      perturbed_gradient_norm: :math:`\|g_2\|`.
      gradient_cosine: cosine of the angle between g1 and g2.
    """

    gradient_norm: jax.Array
    perturbed_loss: jax.Array
    perturbed_gradient_norm: jax.Array
    gradient_cosine: jax.Array


class StatefulValueAndGrad(NamedTuple):
    """The gradient with an ascent that remembers past gradients, as a pair of pure functions.

    >>> one_pass = value_and_grad(lambda w: jnp.sum(w**2), r=0.5, alpha=1, ascent="momentum")
    >>> weights = jnp.array([3.0, 4.0])
    >>> (loss, gradient), memory = one_pass.apply(one_pass.init(weights), weights)
    >>> print(loss, gradient)  # the memory is still empty: nothing is perturbed
    25.0 [6. 8.]

    Attributes:
      init: `params -> memory`.
      apply: `(memory, *args, **kwargs) -> (result, memory)`, the result and the arguments as of
        the function that `value_and_grad` returns for an ascent without a memory.
    """

    init: Callable[[PyTree], PyTree]
    apply: Callable[..., tuple[Any, PyTree]]


class _Outcome(NamedTuple):
    """What one pass and all passes yield alike."""

    value: Any
    gradient: PyTree
    clean: PyTree | None
    metrics: GradientMetrics | None


def value_and_grad(
    loss_fn: Callable,
    r: float | jax.Array | Callable,
    alpha: float | jax.Array | Callable,
    *,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    axis_name: str | None = None,
    mode: str = "two_pass",
    norm_perturbations: bool = False,
    ascent: str | Ascent = "gradient",
    ascent_steps: int = 1,
    surrogate_gap: float = 0.0,
    with_metrics: bool = False,
) -> Callable | StatefulValueAndGrad:
    r"""`jax.value_and_grad` with the gradient norm penalized.

    It is :math:`(1 - \alpha) \nabla L(\theta) + \alpha \nabla L(\theta + r v)`; `ascent` gives v.
    Both passes get the same arguments, so pass random keys as arguments. Where the loss returns new
    batch statistics as aux, those of the first pass come back.

    >>> def loss_fn(params, batch):
    ...     return jnp.mean((batch * params) ** 2)
    ...
    >>> params, batch = jnp.array([4.0]), jnp.ones(8)
    >>> penalized = value_and_grad(loss_fn, r=0.5, alpha=0.5)
    >>> loss, gradient = penalized(params, batch)
    >>> print(loss, gradient)  # the mean of the gradients 8 at 4 and 9 at 4.5
    16.0 [8.5]

    An ascent that remembers past gradients comes as a pair, as optax's transformations do:

    >>> one_pass = value_and_grad(loss_fn, r=0.5, alpha=1, ascent="momentum")
    >>> memory = one_pass.init(params)
    >>> (loss, gradient), memory = one_pass.apply(memory, params, batch)

    Args:
      loss_fn: `loss_fn(params, *args, **kwargs) -> loss`, or `(loss, aux)` with `has_aux`. Where
        parameters are narrower than float32, the last pass gives it float32 ones, as the narrow
        type would round the perturbation away; it must not cast them back.
      r: radius of the perturbation: a number, a scalar array, or a schedule of the step.
      alpha: weight of the perturbed gradient, likewise. α·r is the weight λ of the gradient norm.
        With an ascent of one pass it must be the number 1.
      argnums: which positional arguments are the parameters, as in `jax.value_and_grad`: a number,
        or several of them. The norm is that over all of them together.
      has_aux: whether the loss returns `(loss, aux)`.
      axis_name: name of a mapped axis over which g1 is averaged before v is taken, so that all
        devices perturb alike. None: each device perturbs along its own gradient (m-sharpness).
        Either way average the result over the devices before the optimizer. Under
        `jax.shard_map` this needs `check_vma=False`; as it comes that sums gradients by replicated
        parameters itself, so average the loss within `loss_fn` there, and nothing else. An
        ascent's memory is averaged over this axis; without it each device keeps its own.
      mode, norm_perturbations, ascent_steps, surrogate_gap: see `PenaltyForm`.
      ascent: a name of `gnp.regularization.ascent`, or an `Ascent`, such as
        `ascent.momentum(decay=0.8)`.
      with_metrics: whether `GradientMetrics` come back behind the gradient.

    Returns:
      A function of `(params, *args, **kwargs)` that returns `(loss, gradient)`, or
      `((loss, aux), gradient)`, loss and aux being those at params; after one perturbed pass,
      those of that pass. With several `argnums` the gradient is a tuple. If `r` or `alpha` is a
      schedule the function takes the step as the keyword `step`; with `ascent="random"` it takes a
      random key as the keyword `ascent_key`. Where α or r is zero it makes one pass; for arrays
      and schedules that is decided while it runs, and on CPUs, where branches are slow, all passes
      are made.

    Raises:
      UserError: a field of the form has a bad value.
      TypeError: a schedule was given and the call has no `step`, or it lacks one of `argnums`.
    """
    form = PenaltyForm(
        mode=mode,
        norm_perturbations=norm_perturbations,
        ascent=ascent if isinstance(ascent, Ascent) else ascent_named(ascent),
        ascent_steps=ascent_steps,
        surrogate_gap=surrogate_gap,
    )
    form.check_alpha(alpha)

    def average(gradient):
        return gradient if axis_name is None else jax.lax.pmean(gradient, axis_name)

    def passes(memory, args, kwargs, step, key):
        params = _chosen(args, argnums)
        radius = _at_step(r, step, "r") * form.ascent.radius_factor(memory)
        weight = _at_step(alpha, step, "alpha")

        def loss_of(params):
            result = loss_fn(*_with_chosen(args, argnums, params), **kwargs)
            return result if has_aux else (result, None)

        def one_pass():
            (loss, aux), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
            return outcome_of(PenalizedGradient(gradient, loss, aux, gradient))

        def all_passes():
            found = penalized_gradient(
                loss_of,
                params,
                r=radius,
                alpha=weight,
                form=form,
                memory=memory,
                key=key,
                average=average,
                average_over_all=average,
            )
            return outcome_of(found)

        is_off = False if form.is_one_pass else _either_is_zero(radius, weight)
        return _one_or_all_passes(is_off, one_pass, all_passes), radius * weight

    def outcome_of(found):
        value = (found.loss, found.aux) if has_aux else found.loss
        metrics = _metrics(found) if with_metrics else None
        return _Outcome(value, found.gradient, found.clean_gradient, metrics)

    def result_of(outcome):
        value_and_gradient = outcome.value, outcome.gradient
        return (*value_and_gradient, outcome.metrics) if with_metrics else value_and_gradient

    def penalized(*args, step=None, ascent_key=None, **kwargs):
        outcome, _ = passes(None, args, kwargs, step, ascent_key)
        return result_of(outcome)

    def apply(memory, *args, step=None, ascent_key=None, **kwargs):
        outcome, weight = passes(memory, args, kwargs, step, ascent_key)
        loss = outcome.value[0] if has_aux else outcome.value
        mixed, clean, loss = average((outcome.gradient, outcome.clean, loss))
        memory = form.ascent.update(memory, StepGradients(mixed, clean, weight, loss))
        return result_of(outcome), memory

    return StatefulValueAndGrad(form.ascent.init, apply) if form.ascent.has_memory else penalized


def _chosen(args, argnums):
    """The arguments that are the parameters: one, or a tuple."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise TypeError(
                f"argnums is {argnums}, but the call has {len(args)} positional arguments; pass "
                "the parameters by position."
            )
    chosen = tuple(args[number] for number in numbers)
    return chosen[0] if isinstance(argnums, int) else chosen


def _with_chosen(args, argnums, params):
    args = list(args)
    pairs = [(argnums, params)] if isinstance(argnums, int) else zip(argnums, params, strict=True)
    for number, value in pairs:
        args[number] = value
    return args


def _metrics(found):
    nan = jnp.float32(jnp.nan)
    first, second = found.clean_gradient, found.perturbed_gradient
    return GradientMetrics(
        gradient_norm=nan if first is None else tree.global_norm(first),
        perturbed_loss=nan if second is None else found.perturbed_loss,
        perturbed_gradient_norm=nan if second is None else tree.global_norm(second),
        gradient_cosine=nan if first is None or second is None else tree.cosine(first, second),
    )


def _one_or_all_passes(nothing_asked, one_pass, all_passes):
    """One pass where nothing is asked for, else all."""
    if isinstance(nothing_asked, bool):
        return one_pass() if nothing_asked else all_passes()
    if control_flow.is_slow():
        outcome = all_passes()
        either = functools.partial(jnp.where, nothing_asked)
        return outcome._replace(gradient=jax.tree.map(either, outcome.clean, outcome.gradient))
    return jax.lax.cond(nothing_asked, one_pass, all_passes)


def _at_step(value, step, name):
    if not callable(value):
        return value
    if step is None:
        raise TypeError(f"{name} is a schedule, so the call needs the keyword step.")
    return value(step)


def _either_is_zero(r, alpha):
    """A bool where both are plain numbers, else a boolean array."""
    if isinstance(r, (int, float)) and isinstance(alpha, (int, float)):
        return bool(r == 0 or alpha == 0)  # of numpy's numbers it is not one yet
    return jnp.logical_or(jnp.equal(r, 0), jnp.equal(alpha, 0))
