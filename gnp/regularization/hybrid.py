"""Which steps of a run are penalized; the others are standard training and cost one pass."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

# Folded into the key so that this draw shares no numbers with what the step itself draws.
_STREAM = 0x68796272


def penalized_steps(
    key: jax.Array,
    first: int,
    last: int,
    *,
    start: int = 0,
    every: int = 1,
    probability: float | Callable | None = None,
) -> np.ndarray:
    """Decides for the steps `first` to `last - 1`; the same in every process.

    Args:
      key: the run's random key.
      first: first step.
      last: one past the last step.
      start: steps before this one are standard (the zero warmup).
      every: of the others each `every`-th is penalized, beginning with step 0.
      probability: a number or a schedule of the step: hybrid training, each of those steps is
        penalized with this probability, by a draw from (key, step). None: no draw.

    Returns:
      A bool for each step.
    """
    steps = np.arange(first, last)
    penalized = (steps >= start) & (steps % every == 0)
    if probability is None:
        return penalized
    draws = jax.vmap(lambda step: jax.random.uniform(_step_key(key, step)))(jnp.asarray(steps))
    chances = probability(jnp.asarray(steps)) if callable(probability) else probability
    return penalized & np.asarray(draws < chances)


def _step_key(key, step):
    return jax.random.fold_in(jax.random.fold_in(key, step), _STREAM)
