"""The penalties on gradients of a loss, together: they share one pass for all their gradients.

    L + ε·input + w·activation + ¼·γ·parameter

Each penalty looks at the gradient of L alone, not of the others, so they add up in any order. Their
sum is a loss like any other, which the gradient-norm penalty may take as its own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from gnp.errors import UserError, unknown_name
from gnp.regularization import activation_gradient, input_gradient, parameter_gradient

Point = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class GradientPenalties:
    """How strong each is; 0: off.

    Attributes:
      input_strength: ε.
      input_form: a name of `input_gradient.FORMS`.
      activation_strength: w.
      activation_patterns: which activations, see `gnp.parameter_paths`.
      parameter_strength: γ.
    """

    input_strength: float = 0.0
    input_form: str = "norm"
    activation_strength: float = 0.0
    activation_patterns: Sequence[str] = ()
    parameter_strength: float = 0.0

    def __post_init__(self):
        if self.input_form not in input_gradient.FORMS:
            raise unknown_name(
                "form of the input-gradient penalty", self.input_form, input_gradient.FORMS
            )
        if self.activation_strength and not self.activation_patterns:
            raise UserError(
                "The activation-gradient penalty has a strength but no patterns of activations; "
                "'*' names them all."
            )

    @property
    def wanted(self) -> list[str]:
        """The parts of a point whose gradients are penalized."""
        strengths = {
            "inputs": self.input_strength,
            "activations": self.activation_strength,
            "params": self.parameter_strength,
        }
        return [part for part, strength in strengths.items() if strength]

    @property
    def num_passes(self) -> int:
        """Forward and backward passes in one gradient of the penalized loss, at the most."""
        if self.parameter_strength:
            return 3
        return 2 if self.wanted else 1


def penalized_loss(
    loss_fn: Callable[[Point], tuple[jax.Array, Any]],
    point: Point,
    penalties: GradientPenalties,
    *,
    average: Callable = lambda gradient: gradient,
    true_loss_fn: Callable[[Point], tuple[jax.Array, Any]] | None = None,
) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
    """L with its penalties.

    Args:
      loss_fn: `point -> (loss, aux)`, the loss being a mean over examples.
      point: `params`, `inputs` and `activations`, zeros that are added to them.
      penalties: at least one of them is on.
      average: averages a gradient over the devices that share a batch.
      true_loss_fn: the same loss, whose gradient is the true one where that of `loss_fn` is
        not (shake models); None: `loss_fn`.

    Returns:
      The penalized loss, aux at the point, and what each penalty adds, by name.
    """
    wanted = {part: point[part] for part in penalties.wanted}
    (loss, aux), gradients = jax.value_and_grad(
        lambda part: (true_loss_fn or loss_fn)(point | part), has_aux=True
    )(wanted)
    if true_loss_fn is not None:
        loss, aux = loss_fn(point)

    terms = _terms(penalties, gradients, average)
    if penalties.input_strength and penalties.input_form == "adversarial":
        moved = input_gradient.adversarial_inputs(
            point["inputs"], gradients["inputs"], penalties.input_strength
        )
        moved_loss, _ = loss_fn(point | {"inputs": moved})
        increase = {"input_gradient": moved_loss - loss}
        return sum(terms.values(), start=moved_loss), aux, terms | increase
    return sum(terms.values(), start=loss), aux, terms


def _terms(penalties, gradients, average):
    """What is added to the loss, by name."""
    terms = {}
    if "inputs" in gradients and penalties.input_form != "adversarial":
        squared = penalties.input_form == "squared"
        value = input_gradient.penalty(gradients["inputs"], squared=squared)
        terms["input_gradient"] = penalties.input_strength * value
    if "activations" in gradients:
        value = activation_gradient.penalty(gradients["activations"])
        terms["activation_gradient"] = penalties.activation_strength * value
    if "params" in gradients:
        value = parameter_gradient.penalty(gradients["params"], average)
        terms["parameter_gradient"] = penalties.parameter_strength / 4 * value
    return terms
