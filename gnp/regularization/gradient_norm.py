"""The training gradient: the gradient of a loss with a penalty on the gradient's norm.

For L + λ‖∇L‖ with λ = α·r, "Penalizing Gradient Norm for Efficiently Improving Generalization in
Deep Learning" (arXiv 2202.03599, section 3) takes two passes:

    g1 = ∇L(θ)                  first pass
    v  = g1 / ‖g1‖              over all parameters together; 0 where ‖g1‖ = 0
    g2 = ∇L(θ + r·v)            second pass; v is a constant, nothing is differentiated through it
    g  = (1 − α)·g1 + α·g2

α = 1 is SAM (arXiv 2010.01412); α = 0 or r = 0 is standard training. The exact gradient of the same
objective is g1 + λ·H·v, H being the Hessian; the two passes tend to it as r → 0 with λ fixed.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gnp.errors import UserError, unknown_name
from gnp.regularization import control_flow, tree
from gnp.regularization.ascent import ascent

PyTree = Any

MODES = ("two_pass", "exact")


@dataclasses.dataclass(frozen=True)
class PenaltyForm:
    """Which penalty it is. The default is the paper's.

    Attributes:
      mode: `two_pass`; `exact`: the gradient of L + λ‖∇L‖ by a Hessian-vector product.
      norm_perturbations: mix v instead of g1, (1 − α)·v + α·g2, as the reference does by default.
      ascent: how the parameters are perturbed, a name of `gnp.regularization.ascent`.
      ascent_steps: passes that lead to the perturbed parameters, each r / ascent_steps long.
      surrogate_gap: take this much of g1's component orthogonal to g2 from g2 (GSAM,
        arXiv 2203.08065, algorithm 1).
    """

    mode: str = "two_pass"
    norm_perturbations: bool = False
    ascent: str = "gradient"
    ascent_steps: int = 1
    surrogate_gap: float = 0.0

    def __post_init__(self):
        if self.mode not in MODES:
            raise unknown_name("mode of the penalty (gnp.mode)", self.mode, MODES)
        if self.ascent_steps < 1:
            raise UserError(f"ascent_steps must be at least 1, not {self.ascent_steps}.")
        ascent(self.ascent)
        perturbs_plainly = dataclasses.astuple(self)[1:] == (False, "gradient", 1, 0.0)
        if self.mode != "two_pass" and not perturbs_plainly:
            raise UserError(
                f"The {self.mode} form has no perturbation, so norm_perturbations, ascent, "
                "ascent_steps and surrogate_gap must keep their defaults."
            )


class PenalizedGradient(NamedTuple):
    """What the passes yield. The exact form has nothing perturbed: None.

    Attributes:
      gradient: g, a tree like the parameters.
      loss: L(θ).
      aux: the auxiliary output of the loss at θ.
      clean_gradient: g1.
      perturbed_loss: L at the perturbed parameters.
      perturbed_aux: the auxiliary output of the loss there.
      perturbed_gradient: g2, in float32 or finer.
    """

    gradient: PyTree
    loss: jax.Array
    aux: Any
    clean_gradient: PyTree
    perturbed_loss: jax.Array | None = None
    perturbed_aux: Any = None
    perturbed_gradient: PyTree = None


def value_and_grad(
    loss_fn: Callable,
    r: float | jax.Array | Callable,
    alpha: float | jax.Array | Callable,
    *,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    axis_name: str | None = None,
    **form: Any,
) -> Callable:
    """`jax.value_and_grad` with the gradient norm penalized.

    Both passes get the same arguments, so pass random keys as arguments. Where the loss returns new
    batch statistics as aux, those of the first pass come back.

    Args:
      loss_fn: `loss_fn(params, *args, **kwargs) -> loss`, or `(loss, aux)` with `has_aux`. Where
        parameters are narrower than float32, the last pass gives it float32 ones, as the narrow
        type would round the perturbation away; it must not cast them back.
      r: radius of the perturbation: a number, a scalar array, or a schedule of the step.
      alpha: weight of the perturbed gradient, likewise. α·r is the weight λ of the gradient norm.
      argnums: which positional arguments are the parameters, as in `jax.value_and_grad`: a number,
        or several of them. The norm is that over all of them together.
      has_aux: whether the loss returns `(loss, aux)`.
      axis_name: name of a mapped axis over which g1 is averaged before v is taken, so that all
        devices perturb alike. None: each device perturbs along its own gradient (m-sharpness).
        Either way average the result over the devices before the optimizer. Under
        `jax.shard_map` this needs `check_vma=False`; as it comes that sums gradients by replicated
        parameters itself, so average the loss within `loss_fn` there, and nothing else.
      **form: fields of `PenaltyForm`.

    Returns:
      A function of `(params, *args, **kwargs)` that returns `(loss, gradient)`, or
      `((loss, aux), gradient)`, loss and aux being those at params. With several `argnums` the
      gradient is a tuple. If `r` or `alpha` is a schedule
      the function takes the step as the keyword `step`; with `ascent="random"` it takes a random
      key as the keyword `ascent_key`. Where α or r is zero it makes one pass; for arrays and
      schedules that is decided while it runs, and on CPUs, where branches are slow, all passes are
      made.

    Raises:
      UserError: a field of `form` has a bad value.
      TypeError: a schedule was given and the call has no `step`, or it lacks one of `argnums`.
    """
    form = PenaltyForm(**form)

    def penalized(*args, step=None, ascent_key=None, **kwargs):
        params = _chosen(args, argnums)
        radius, weight = _at_step(r, step, "r"), _at_step(alpha, step, "alpha")

        def loss_of(params):
            result = loss_fn(*_with_chosen(args, argnums, params), **kwargs)
            return result if has_aux else (result, None)

        def one_pass():
            return jax.value_and_grad(loss_of, has_aux=True)(params)

        def all_passes():
            return penalized_gradient(
                loss_of,
                params,
                r=radius,
                alpha=weight,
                form=form,
                key=ascent_key,
                average=lambda g: g if axis_name is None else jax.lax.pmean(g, axis_name),
            )

        (loss, aux), gradient = _one_or_all_passes(
            _either_is_zero(radius, weight), one_pass, all_passes
        )
        return ((loss, aux) if has_aux else loss), gradient

    return penalized


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


def _one_or_all_passes(nothing_asked, one_pass, all_passes):
    def mixed():
        result = all_passes()
        return (result.loss, result.aux), result.gradient

    if isinstance(nothing_asked, bool):
        return one_pass() if nothing_asked else mixed()
    if control_flow.is_slow():
        result = all_passes()
        either = functools.partial(jnp.where, nothing_asked)
        gradient = jax.tree.map(either, result.clean_gradient, result.gradient)
        return (result.loss, result.aux), gradient
    return jax.lax.cond(nothing_asked, one_pass, mixed)


def penalized_gradient(
    loss_fn: Callable[[PyTree], tuple[jax.Array, Any]],
    params: PyTree,
    *,
    r: float | jax.Array,
    alpha: float | jax.Array,
    form: PenaltyForm = PenaltyForm(),
    key: jax.Array | None = None,
    average: Callable[[PyTree], PyTree] = lambda gradient: gradient,
    perturbed_loss_fn: Callable[[PyTree, Any], tuple[jax.Array, Any]] | None = None,
) -> PenalizedGradient:
    """All passes, even where r or α is zero, with all that is known after them.

    Args:
      loss_fn: `params -> (loss, aux)`.
      params: tree of floating-point arrays. The last pass gets float32 ones in the place of
        narrower ones.
      r: radius of the perturbation.
      alpha: weight of the perturbed gradient.
      form: which penalty.
      key: random key, for the random ascent.
      average: averages g1 over a perturbation group, before v is computed.
      perturbed_loss_fn: the last pass's loss, `(params, aux of the first pass) -> (loss, aux)`;
        None: `loss_fn`.
    """
    if form.mode == "two_pass":
        last_loss_fn = perturbed_loss_fn or (lambda params, _: loss_fn(params))
        return _two_passes(loss_fn, last_loss_fn, params, r, alpha, form, key, average)
    return _exact(loss_fn, params, r * alpha, average)


def _two_passes(loss_fn, last_loss_fn, params, r, alpha, form, key, average):
    perturbation = ascent(form.ascent)
    (loss, aux), clean = _gradient(loss_fn, params, average)
    stride = r / form.ascent_steps
    precise_params, precise_clean = tree.precise(params), tree.precise(clean)
    first_move = perturbation(precise_params, precise_clean, stride, key)
    perturbed_params = tree.add(precise_params, first_move)
    for _ in range(form.ascent_steps - 1):
        _, gradient = _gradient(loss_fn, perturbed_params, average)
        move = perturbation(perturbed_params, gradient, stride, key)
        perturbed_params = tree.add(perturbed_params, move)

    (perturbed_loss, perturbed_aux), perturbed = jax.value_and_grad(
        lambda p: last_loss_fn(p, aux), has_aux=True
    )(perturbed_params)
    second = perturbed
    if form.surrogate_gap:
        second = average(second)  # the gap is that of the whole perturbation group
        gap = tree.orthogonal_part(precise_clean, second)
        second = tree.add(second, gap, -form.surrogate_gap)
    first = tree.unit(precise_clean) if form.norm_perturbations else precise_clean
    return PenalizedGradient(
        gradient=tree.cast(tree.mix(first, second, alpha), clean),
        loss=loss,
        aux=aux,
        clean_gradient=clean,
        perturbed_loss=perturbed_loss,
        perturbed_aux=perturbed_aux,
        perturbed_gradient=perturbed,
    )


def _exact(loss_fn, params, strength, average):
    """∇(L + λ‖∇L‖) = g1 + λ·H·g1/‖g1‖."""

    def gradient_of(params):
        (loss, aux), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
        return gradient, (loss, aux)

    own, hessian_product, (loss, aux) = jax.linearize(gradient_of, params, has_aux=True)
    clean = average(own)
    direction = tree.cast(tree.unit(clean), clean)
    return PenalizedGradient(
        gradient=tree.add(clean, hessian_product(direction), strength),
        loss=loss,
        aux=aux,
        clean_gradient=clean,
    )


def _gradient(loss_fn, params, average):
    value, gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
    return value, average(gradient)


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
