"""A radius that follows the loss: shorter where little is left to learn.

Where labels are right, the training loss falls towards zero, and a long perturbation costs accuracy
then. Where some are wrong, the loss stays above their entropy as long as the model does not
memorize them, and the radius stays what it is.
"""

import dataclasses

import jax.numpy as jnp

from gnp.errors import UserError
from gnp.regularization.ascent import Ascent

_DECAY = 0.9  # of the moving average of the loss, over some ten steps


def following_loss(inner: Ascent, full_above: float) -> Ascent:
    r"""The same ascent with the radius :math:`r \min(1, L / L_0)`; L₀ is `full_above`.

    L is a moving average of the training loss of penalized steps; in a step of one pass that is
    the loss at the perturbed parameters. It starts at `full_above`.

    >>> from gnp.regularization.ascent import StepGradients, ascent
    >>> following = following_loss(ascent("momentum"), full_above=0.5)
    >>> memory = following.init(jnp.zeros(2))
    >>> small = StepGradients(mixed=jnp.ones(2), clean=None, weight=1.0, loss=jnp.array(0.0))
    >>> after = following.update(memory, small)
    >>> print(following.radius_factor(memory), following.radius_factor(after))
    1.0 0.9

    Args:
      inner: the ascent.
      full_above: the loss below which the radius shrinks; above 0.

    Raises:
      UserError: `full_above` is not above 0.
    """
    if not full_above > 0:
        raise UserError(f"full_above is {full_above}; it must be above 0, such as 0.5.")

    def init(params):
        own = {"loss": jnp.float32(full_above)}
        return own if inner.init is None else own | {"inner": inner.init(params)}

    def with_inner(memory, found):
        return memory if inner.init is None else memory | {"inner": found}

    def direction(params, gradient, memory, key):
        return inner.direction(params, gradient, memory.get("inner"), key)

    def update(memory, gradients):
        loss = _DECAY * memory["loss"] + (1 - _DECAY) * gradients.loss
        return with_inner(memory, inner.update(memory.get("inner"), gradients)) | {"loss": loss}

    def standard_step(gradient, memory):
        gradient, found = inner.standard_step(gradient, memory.get("inner"))
        return gradient, with_inner(memory, found)

    def is_wanted(squared_norm, memory):
        return inner.is_wanted(squared_norm, memory.get("inner"))

    return dataclasses.replace(
        inner,
        direction=direction,
        init=init,
        is_wanted=inner.is_wanted and is_wanted,
        update=update,
        standard_step=standard_step,
        radius_factor=lambda memory: jnp.minimum(1.0, memory["loss"] / full_above),
    )
