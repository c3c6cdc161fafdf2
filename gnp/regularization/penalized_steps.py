"""Which steps of a run are penalized; the others are standard training and cost one pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gnp.errors import UserError, unknown_name
from gnp.regularization.epochs import Epochs

ALL_EPOCHS = Epochs()

# Folded into the key so that these samples share no numbers with those of the step itself.
_STREAM = 0x68796272

# Name -> how much of the way from p to p_end is gone at each share of the run.
PROBABILITY_SCHEDULES = {
    "constant": lambda share: 0 * share,
    "linear": lambda share: share,
    "cosine": lambda share: 0.5 * (1 - jnp.cos(jnp.pi * share)),
}


@dataclasses.dataclass(frozen=True)
class PenalizedSteps:
    """Says which steps are penalized; the same in every process. All of them by default.

    Attributes:
      start: steps before this one are standard (the zero warmup).
      steps_per_epoch: steps in an epoch.
      epochs: outside of these all steps are standard: a late phase (arXiv 2410.10373), or plain
        steps at the end.
      every: of the others each `every`-th is penalized, beginning with step 0.
      probability: schedule of the step. Hybrid training: each of those steps is penalized with
        this probability, sampled from (key, step). None: all of them are.
    """

    start: int = 0
    steps_per_epoch: int = 1
    epochs: Epochs = ALL_EPOCHS
    every: int = 1
    probability: optax.Schedule | None = None

    def among(self, key: jax.Array, first: int, last: int) -> np.ndarray:
        """A bool for each of the steps `first` to `last - 1`.

        Args:
          key: the run's random key.
          first: first step.
          last: one past the last step.
        """
        steps = np.arange(first, last)
        penalized = (steps >= self.start) & (steps % self.every == 0)
        penalized &= self.epochs.include(steps // self.steps_per_epoch)
        if self.probability is None:
            return penalized
        samples = jax.vmap(lambda step: jax.random.uniform(_step_key(key, step)))(
            jnp.asarray(steps)
        )
        return penalized & np.asarray(samples < self.probability(jnp.asarray(steps)))


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
