"""The training gradient: two passes that penalize the norm of the gradient.

For L + λ‖∇L‖ with λ = α·r, "Penalizing Gradient Norm for Efficiently Improving Generalization in
Deep Learning" (arXiv 2202.03599, equation 10) takes

    g1 = ∇L(θ)                  first pass
    v  = g1 / ‖g1‖              over all parameters together; 0 where ‖g1‖ = 0
    g2 = ∇L(θ + r·v)            second pass; v is a constant, nothing is differentiated through it
    g  = (1 − α)·g1 + α·g2

α = 1 is SAM (arXiv 2010.01412); α = 0 or r = 0 is standard training.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PyTree = Any


class PenalizedGradient(NamedTuple):
    """What two passes yield. Norms and losses are scalars.

    Attributes:
      gradient: the mixed gradient g, a tree like the parameters.
      loss: L(θ).
      aux: what the loss returned beside it, at θ.
      perturbed_loss: L(θ + r·v).
      perturbed_aux: the same at θ + r·v.
      clean_gradient: g1.
      perturbed_gradient: g2.
    """

    gradient: PyTree
    loss: jax.Array
    aux: Any
    perturbed_loss: jax.Array
    perturbed_aux: Any
    clean_gradient: PyTree
    perturbed_gradient: PyTree


def value_and_grad(
    loss_fn: Callable,
    r: float | jax.Array | Callable,
    alpha: float | jax.Array | Callable,
    *,
    has_aux: bool = False,
    norm_perturbations: bool = False,
    axis_name: str | None = None,
) -> Callable:
    """`jax.value_and_grad` with the gradient norm penalized.

    Both passes get the same arguments, so pass random keys as arguments. Where the loss returns new
    batch statistics as aux, those of the first pass come back.

    Args:
      loss_fn: `loss_fn(params, *args, **kwargs) -> loss`, or `(loss, aux)` with `has_aux`.
      r: radius of the perturbation: a number, a scalar array, or a schedule of the step.
      alpha: weight of the perturbed gradient, likewise. α·r is the weight λ of the gradient norm.
      has_aux: whether the loss returns something beside its value.
      norm_perturbations: mix v instead of g1, (1 − α)·v + α·g2, as the reference does by default.
      axis_name: name of a mapped axis over which g1 is averaged before v is taken, so that all
        devices perturb alike. None: each device perturbs along its own gradient (m-sharpness).
        Either way the result is this device's own: average it before the optimizer.

    Returns:
      A function of `(params, *args, **kwargs)` that returns `(loss, gradient)`, or
      `((loss, aux), gradient)`, loss and aux being those at params. If `r` or `alpha` is a schedule
      the function takes the step as the keyword `step`. Where α or r is zero it makes one pass;
      for traced values that is decided while it runs.

    Raises:
      TypeError: a schedule was given and the call has no `step`.
    """

    def penalized(params, *args, step=None, **kwargs):
        radius, weight = _at_step(r, step, "r"), _at_step(alpha, step, "alpha")

        def loss_of(params):
            result = loss_fn(params, *args, **kwargs)
            return result if has_aux else (result, None)

        def one_pass(params):
            return jax.value_and_grad(loss_of, has_aux=True)(params)

        def two_passes(params):
            result = penalized_gradient(
                loss_of,
                params,
                r=radius,
                alpha=weight,
                norm_perturbations=norm_perturbations,
                average=lambda tree: tree if axis_name is None else jax.lax.pmean(tree, axis_name),
            )
            return (result.loss, result.aux), result.gradient

        nothing_asked = _either_is_zero(radius, weight)
        if isinstance(nothing_asked, bool):
            (loss, aux), gradient = (one_pass if nothing_asked else two_passes)(params)
        else:
            (loss, aux), gradient = jax.lax.cond(nothing_asked, one_pass, two_passes, params)
        return ((loss, aux) if has_aux else loss), gradient

    return penalized


def penalized_gradient(
    loss_fn: Callable[[PyTree], tuple[jax.Array, Any]],
    params: PyTree,
    *,
    r: float | jax.Array,
    alpha: float | jax.Array,
    norm_perturbations: bool = False,
    average: Callable[[PyTree], PyTree] = lambda tree: tree,
    perturbed_loss_fn: Callable[[PyTree, Any], tuple[jax.Array, Any]] | None = None,
) -> PenalizedGradient:
    """Both passes, always, with all that is known after them.

    Args:
      loss_fn: `params -> (loss, aux)`.
      params: tree of floating-point arrays.
      r: radius of the perturbation.
      alpha: weight of the perturbed gradient.
      norm_perturbations: mix v instead of g1.
      average: averages g1 over those who share a perturbation, before v is taken.
      perturbed_loss_fn: the second pass's loss, `(params, aux of the first pass) -> (loss, aux)`;
        None: `loss_fn`.
    """
    (loss, aux), clean = jax.value_and_grad(loss_fn, has_aux=True)(params)
    clean = average(clean)
    direction = unit(clean)
    second = loss_fn if perturbed_loss_fn is None else lambda p: perturbed_loss_fn(p, aux)
    (perturbed_loss, perturbed_aux), perturbed = jax.value_and_grad(second, has_aux=True)(
        add(params, direction, r)
    )
    return PenalizedGradient(
        gradient=mix(direction if norm_perturbations else clean, perturbed, alpha),
        loss=loss,
        aux=aux,
        perturbed_loss=perturbed_loss,
        perturbed_aux=perturbed_aux,
        clean_gradient=clean,
        perturbed_gradient=perturbed,
    )


def mix(first: PyTree, second: PyTree, alpha) -> PyTree:
    """(1 − α)·first + α·second, leaf by leaf, in the leaves' own types."""
    return jax.tree.map(lambda a, b: ((1 - alpha) * a + alpha * b).astype(b.dtype), first, second)


def add(params: PyTree, direction: PyTree, length) -> PyTree:
    """params + length·direction, leaf by leaf, in the parameters' own types."""
    return jax.tree.map(lambda p, v: (p + length * v).astype(p.dtype), params, direction)


def unit(tree: PyTree) -> PyTree:
    """tree / ‖tree‖ in float32 or finer; all zeros where the norm is zero."""
    norm = global_norm(tree)
    scale = jnp.where(norm > 0, 1 / jnp.where(norm > 0, norm, 1), 0)
    return jax.tree.map(lambda leaf: leaf * scale, tree)


def global_norm(tree: PyTree) -> jax.Array:
    """Euclidean norm over all leaves together, summed in float32 or finer."""
    return jnp.sqrt(inner_product(tree, tree))


def inner_product(a: PyTree, b: PyTree) -> jax.Array:
    """Sum over all leaves of the products of their elements, in float32 or finer."""

    def leaf_product(x, y):
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        return jnp.sum(x.astype(dtype) * y.astype(dtype))

    return sum(jax.tree.leaves(jax.tree.map(leaf_product, a, b)), start=jnp.float32(0))


def cosine(a: PyTree, b: PyTree) -> jax.Array:
    """Cosine of the angle between two trees; 0 where one of them is zero."""
    norms = global_norm(a) * global_norm(b)
    return jnp.where(norms > 0, inner_product(a, b) / jnp.where(norms > 0, norms, 1), 0)


def _at_step(value, step, name):
    if not callable(value):
        return value
    if step is None:
        raise TypeError(f"{name} is a schedule, so the call needs the keyword step.")
    return value(step)


def _either_is_zero(r, alpha):
    """A bool where both are plain numbers, else a boolean array."""
    if isinstance(r, (int, float)) and isinstance(alpha, (int, float)):
        return r == 0 or alpha == 0
    return jnp.logical_or(jnp.equal(r, 0), jnp.equal(alpha, 0))
