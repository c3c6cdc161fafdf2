"""Penalties on the gradient with respect to the input, which make a model robust to small changes.

    norm         L + ε·‖∇ₓL‖             exact, by differentiating twice
    squared      L + ε·‖∇ₓL‖²            likewise (double backpropagation, Drucker and LeCun, 1992)
    adversarial  L(x + ε·∇ₓL/‖∇ₓL‖)      equal to the first to first order in ε; the step from x is
                                         held constant, as in adversarial training

Norms are those of single examples, and the penalty is their mean over the batch, as L is the mean
of the examples' losses: ε is a distance in the units of x, whatever the batch size.
"""

import jax
import jax.numpy as jnp

from gnp.regularization import tree

FORMS = ("norm", "squared", "adversarial")


def penalty(gradient: jax.Array, *, squared: bool = False) -> jax.Array:
    r"""Mean over a batch of :math:`\|\nabla_x \ell\|` or of its square, ℓ an example's loss.

    >>> loss_fn = lambda inputs: jnp.mean(jnp.sum(inputs**2, axis=1))
    >>> gradient = jax.grad(loss_fn)(jnp.array([[3.0, 4.0], [0.0, 1.0]]))
    >>> print(penalty(gradient))  # the mean of 10 and 2
    6.0

    Args:
      gradient: ∇ₓ of the examples' mean loss, batch x ...
      squared: the square of the norm.
    """
    squares = _squares(gradient)
    # The loss is a mean, so an example's own gradient is n times as long.
    num_examples = len(gradient)
    if squared:
        return num_examples * jnp.sum(squares)
    return jnp.sum(tree.safe_sqrt(squares))


def adversarial_inputs(inputs: jax.Array, gradient: jax.Array, epsilon) -> jax.Array:
    r"""Each example moved along its gradient, held constant; x itself where the gradient is zero.

    :math:`x + \varepsilon \, \nabla_x \ell / \|\nabla_x \ell\|`, ℓ being its loss.

    >>> inputs, gradient = jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])
    >>> print(adversarial_inputs(inputs, gradient, epsilon=0.5))
    [[0.3 0.4]]

    Args:
      inputs: batch x ...
      gradient: ∇ₓ of the loss, likewise; its scale does not matter.
      epsilon: length of the step, in the units of the inputs.
    """
    norms = jnp.sqrt(_squares(gradient)).reshape(-1, *[1] * (inputs.ndim - 1))
    step = epsilon * tree.divide(gradient, norms)
    return jax.lax.stop_gradient(inputs + step.astype(inputs.dtype))


def _squares(gradient):
    precise = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
    return jnp.sum(jnp.square(precise), axis=tuple(range(1, gradient.ndim)))
