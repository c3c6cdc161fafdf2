"""Which steps of a run are penalized; the others are standard training and cost one pass."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gnp.errors import UserError, unknown_name

# Folded into the key so that these samples share no numbers with those of the step itself.
_STREAM = 0x68796272

# Name -> how much of the way from p to p_end is gone at each share of the run.
PROBABILITY_SCHEDULES = {
    "constant": lambda share: 0 * share,
    "linear": lambda share: share,
    "cosine": lambda share: 0.5 * (1 - jnp.cos(jnp.pi * share)),
}


def penalized_steps(
    key: jax.Array,
    first: int,
    last: int,
    *,
    start: int = 0,
    every: int = 1,
    probability: optax.Schedule | None = None,
) -> np.ndarray:
    """Decides for the steps `first` to `last - 1`; the same in every process.

    Args:
      key: the run's random key.
      first: first step.
      last: one past the last step.
      start: steps before this one are standard (the zero warmup).
      every: of the others each `every`-th is penalized, beginning with step 0.
      probability: schedule of the step. Hybrid training: each of those steps is penalized with
        this probability, sampled from (key, step). None: all of them are.

    Returns:
      A bool for each step.
    """
    steps = np.arange(first, last)
    penalized = (steps >= start) & (steps % every == 0)
    if probability is None:
        return penalized
    samples = jax.vmap(lambda step: jax.random.uniform(_step_key(key, step)))(jnp.asarray(steps))
    return penalized & np.asarray(samples < probability(jnp.asarray(steps)))


def probability_schedule(name: str, *, p: float, p_end: float, total_steps: int) -> optax.Schedule:
    """The probability of a penalized step over a run.

    Args:
      name: `constant`: p throughout; `linear` or `cosine`: from p to p_end on a straight line or
        on half a cosine.
      p: probability at the first step.
      p_end: probability at the last step.
      total_steps: length of the run.

    Raises:
      UserError: the name is unknown or a probability is not in 0 to 1.
    """
    for value in (p, p_end):
        if not 0 <= value <= 1:
            raise UserError(f"A probability of hybrid_config must be in 0 to 1, not {value}.")
    if name not in PROBABILITY_SCHEDULES:
        raise unknown_name(
            "schedule of hybrid training (hybrid_config.schedule)", name, PROBABILITY_SCHEDULES
        )
    share_of_end = PROBABILITY_SCHEDULES[name]
    return lambda step: p + (p_end - p) * share_of_end(step / total_steps)


def _step_key(key, step):
    return jax.random.fold_in(jax.random.fold_in(key, step), _STREAM)
