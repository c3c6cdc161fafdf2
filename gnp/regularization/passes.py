"""The passes of the training gradient, and what comes out of them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from gnp.errors import UserError, unknown_name
from gnp.regularization import control_flow, tree
from gnp.regularization.ascent import STEEPEST, Ascent

PyTree = Any

MODES = ("two_pass", "exact")


@dataclasses.dataclass(frozen=True)
class PenaltyForm:
    r"""Which penalty it is. The default is the paper's.

    >>> form = PenaltyForm(ascent_steps=2)
    >>> form.num_passes
    3.0

    Attributes:
      mode: `two_pass`: as in `gradient_norm`, in one pass if the ascent needs no gradient at θ;
        `exact`: the gradient of :math:`L + \lambda \|\nabla L\|` by a Hessian-vector product.
      norm_perturbations: mix v instead of g1, :math:`(1 - \alpha) v + \alpha g_2`, as the reference
        does by default.
      ascent: how the parameters are perturbed.
      ascent_steps: passes that lead to the perturbed parameters, each r / ascent_steps long.
      ascent_share: share s of the images that these passes see, above 0 and up to 1 (ESAM,
        arXiv 2110.03141; K-SAM, arXiv 2210.12864): g1 is the gradient of those alone, in v and in
        the mixture, and g2 that of all images. The loss functions of `penalized_gradient` decide
        which images those are.
      surrogate_gap: take this much of g1's component orthogonal to g2 from g2 (GSAM,
        arXiv 2203.08065, algorithm 1).
    """

    mode: str = "two_pass"
    norm_perturbations: bool = False
    ascent: Ascent = STEEPEST
    ascent_steps: int = 1
    ascent_share: float = 1.0
    surrogate_gap: float = 0.0

    def __post_init__(self):
        if self.mode not in MODES:
            raise unknown_name("mode of the penalty (gnp.mode)", self.mode, MODES)
        if self.ascent_steps < 1:
            raise UserError(f"ascent_steps must be at least 1, not {self.ascent_steps}.")
        if not 0 < self.ascent_share <= 1:
            raise UserError(
                f"ascent_share must be above 0 and at most 1, such as 0.25, not "
                f"{self.ascent_share}."
            )
        perturbs_plainly = (
            not self.norm_perturbations
            and self.ascent_steps == self.ascent_share == 1
            and self.surrogate_gap == 0
        )
        if self.mode == "exact" and not (perturbs_plainly and self.ascent == STEEPEST):
            raise UserError(
                "The exact form has no perturbation, so norm_perturbations, ascent, ascent_steps, "
                "ascent_share and surrogate_gap must keep their defaults."
            )
        if self.is_one_pass and not perturbs_plainly:
            raise UserError(
                "This ascent makes one pass, at the perturbed parameters, so norm_perturbations, "
                "ascent_steps, ascent_share and surrogate_gap must keep their defaults."
            )

    @property
    def is_one_pass(self) -> bool:
        """Whether there is no pass at θ.

        >>> form.is_one_pass
        False
        """
        return not self.ascent.needs_gradient

    @property
    def num_passes(self) -> float:
        """Forward and backward passes over all images. The exact form takes as much as two.

        >>> PenaltyForm(ascent_share=0.25).num_passes
        1.25
        """
        return 1 if self.is_one_pass else 1 + self.ascent_steps * self.ascent_share

    def check_alpha(self, alpha: Any) -> None:
        """Raises a UserError if this weight of the perturbed gradient is not to be had."""
        if self.is_one_pass and not (isinstance(alpha, int | float) and alpha == 1):
            raise UserError(
                f"This ascent makes one pass, at the perturbed parameters, so there is no "
                f"gradient to mix with: alpha must be the number 1, not {alpha}."
            )


class PenalizedGradient(NamedTuple):
    """What the passes yield. After one perturbed pass loss and aux are those of that pass.

    >>> found = penalized_gradient(lambda w: (jnp.sum(w**2), None), jnp.ones(2), r=0.5, alpha=1)
    >>> print(found.loss, found.clean_gradient)
    2.0 [2. 2.]

    Attributes:
      gradient: g, a tree like the parameters.
      loss: L(θ).
      aux: the auxiliary output of the loss at θ.
      clean_gradient: g1; None if there was no pass at θ.
      perturbed_loss: L at the perturbed parameters; None of the exact form, as the next two.
      perturbed_aux: the auxiliary output of the loss there.
      perturbed_gradient: g2, in float32 or finer.
    """

    gradient: PyTree
    loss: jax.Array
    aux: Any
    clean_gradient: PyTree | None
    perturbed_loss: jax.Array | None = None
    perturbed_aux: Any = None
    perturbed_gradient: PyTree = None


def penalized_gradient(
    loss_fn: Callable[[PyTree], tuple[jax.Array, Any]],
    params: PyTree,
    *,
    r: float | jax.Array,
    alpha: float | jax.Array,
    form: PenaltyForm = PenaltyForm(),
    memory: PyTree | None = None,
    key: jax.Array | None = None,
    average: Callable[[PyTree], PyTree] = lambda gradient: gradient,
    average_over_all: Callable[[jax.Array], jax.Array] = lambda scalar: scalar,
    perturbed_loss_fn: Callable[[PyTree, Any], tuple[jax.Array, Any]] | None = None,
) -> PenalizedGradient:
    """All passes of a form, even where r or α is zero, with all that is known after them.

    >>> def loss_fn(weights):
    ...     return jnp.sum(weights**2), "aux"
    ...
    >>> found = penalized_gradient(loss_fn, jnp.array([4.0]), r=0.5, alpha=0.5)
    >>> print(found.gradient, found.perturbed_loss, found.aux)  # (8 + 9) / 2, 4.5²
    [8.5] 20.25 aux

    Args:
      loss_fn: `params -> (loss, aux)`.
      params: tree of floating-point arrays. The last pass gets float32 ones in the place of
        narrower ones.
      r: radius of the perturbation.
      alpha: weight of the perturbed gradient. A form of one pass takes no notice of it.
      form: which penalty.
      memory: the ascent's, which is not changed: call its `update` with the mean over the devices.
      key: random key, for the random ascent.
      average: averages g1 over a perturbation group, before v is computed.
      average_over_all: averages a scalar over all groups of the batch that are computed at the
        same time, for an ascent that decides whether the perturbed pass is made: all make it, or
        none.
      perturbed_loss_fn: the last pass's loss, `(params, aux of the first pass) -> (loss, aux)`;
        None: `loss_fn`. In a form of one pass the aux is None.
    """
    if form.mode == "exact":
        return _exact(loss_fn, params, r * alpha, average)
    last_loss_fn = perturbed_loss_fn or (lambda params, _: loss_fn(params))
    if form.is_one_pass:
        return _one_perturbed_pass(last_loss_fn, params, r, form, memory, key)
    (loss, aux), clean = _gradient(loss_fn, params, average)
    precise_clean = tree.precise(clean)

    def with_second_pass():
        there = _ascended(loss_fn, params, precise_clean, r, form, memory, key, average)
        (perturbed_loss, perturbed_aux), perturbed = jax.value_and_grad(
            lambda p: last_loss_fn(p, aux), has_aux=True
        )(there)
        mixed = _mixed(precise_clean, perturbed, alpha, form, average)
        gradient = tree.cast(mixed, clean)
        return PenalizedGradient(
            gradient, loss, aux, clean, perturbed_loss, perturbed_aux, perturbed
        )

    if form.ascent.is_wanted is None:
        return with_second_pass()
    squared_norm = average_over_all(tree.inner_product(clean, clean))
    unperturbed = PenalizedGradient(clean, loss, aux, clean, loss, aux, precise_clean)
    return control_flow.either(
        form.ascent.is_wanted(squared_norm, memory), with_second_pass, lambda: unperturbed
    )


def _ascended(loss_fn, params, clean, r, form, memory, key, average):
    """The perturbed parameters."""
    stride = r / form.ascent_steps
    params = tree.precise(params)
    params = tree.add(params, form.ascent.direction(params, clean, memory, key), stride)
    for _ in range(form.ascent_steps - 1):
        _, gradient = _gradient(loss_fn, params, average)
        params = tree.add(params, form.ascent.direction(params, gradient, memory, key), stride)
    return params


def _mixed(clean, perturbed, alpha, form, average):
    """(1 − α)·g1 + α·g2, in the forms' variants."""
    if form.surrogate_gap:
        perturbed = average(perturbed)  # the gap is that of the whole perturbation group
        gap = tree.orthogonal_part(clean, perturbed)
        perturbed = tree.add(perturbed, gap, -form.surrogate_gap)
    return tree.mix(tree.unit(clean) if form.norm_perturbations else clean, perturbed, alpha)


def _one_perturbed_pass(loss_fn, params, r, form, memory, key):
    """∇L(θ + r·v) with v from what past steps left in the memory."""
    precise_params = tree.precise(params)
    direction = form.ascent.direction(precise_params, None, memory, key)
    (loss, aux), gradient = jax.value_and_grad(lambda p: loss_fn(p, None), has_aux=True)(
        tree.add(precise_params, direction, r)
    )
    return PenalizedGradient(
        gradient=tree.cast(gradient, params),
        loss=loss,
        aux=aux,
        clean_gradient=None,
        perturbed_loss=loss,
        perturbed_aux=aux,
        perturbed_gradient=gradient,
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
