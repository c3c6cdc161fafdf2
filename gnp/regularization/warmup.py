"""Warmups of the gradient-norm penalty: radius and weight as schedules of the step."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from gnp.errors import unknown_name

Schedule = Callable[..., object]


class PenaltyStrength(NamedTuple):
    """The penalty's strength, each part an optax-style schedule of the step, from 0.

    Attributes:
      r: radius of the perturbation.
      alpha: weight of the perturbed gradient; alpha * r is the weight of the gradient norm.
    """

    r: Schedule
    alpha: Schedule


def _constant(value):
    return lambda step: value


def _linear(value, warmup_steps):
    return lambda step: value * jnp.minimum(1.0, step / warmup_steps)


def _delayed(value, warmup_steps):
    return lambda step: jnp.where(step < warmup_steps, 0.0, value)


_STRATEGIES = {
    "none": lambda r, alpha, n: PenaltyStrength(_constant(r), _constant(alpha)),
    "r": lambda r, alpha, n: PenaltyStrength(_linear(r, n), _constant(alpha)),
    "lambda": lambda r, alpha, n: PenaltyStrength(_constant(r), _linear(alpha, n)),
    "zero": lambda r, alpha, n: PenaltyStrength(_delayed(r, n), _constant(alpha)),
}


def strategy_names() -> list[str]:
    """The names that `penalty_warmup` knows, sorted."""
    return sorted(_STRATEGIES)


def penalty_warmup(strategy: str, *, r: float, alpha: float, warmup_steps: int) -> PenaltyStrength:
    r"""Schedules of r and alpha ("When Will Gradient Regularization Be Harmful?", section 4).

    >>> r, alpha = penalty_warmup("r", r=0.1, alpha=0.8, warmup_steps=100)
    >>> print(f"{r(50):.2f} {alpha(50)}")
    0.05 0.8

    Args:
      strategy: `none`: both constant; `r`: r grows linearly from 0, :math:`r \min(1, t / T)` at
        step t; `lambda`: alpha does; `zero`: r is 0 during the warmup, so that training is
        standard.
      r: radius after the warmup.
      alpha: weight after the warmup.
      warmup_steps: length of the warmup; 0 switches it off.

    Raises:
      UserError: the strategy is unknown.
    """
    if strategy not in _STRATEGIES:
        raise unknown_name("penalty warmup (gr_warmup_strategy)", strategy, _STRATEGIES)
    return _STRATEGIES[strategy if warmup_steps else "none"](r, alpha, warmup_steps)
