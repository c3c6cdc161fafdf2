"""The exponential moving average of a model's variables."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

PyTree = Any


def update_ema(average: PyTree, newest: PyTree, *, decay: float, count: jax.Array) -> PyTree:
    """The average with the newest values taken in.

    After n updates it is the mean of the values seen with weights decay^0 for the newest to
    decay^(n-1) for the oldest, divided by their sum, as Adam corrects the bias of its moments
    (arXiv 1412.6980, section 3): what the average began with has no weight in it. Recursively,

        average += (newest − average) · (1 − decay) / (1 − decay^n)

    Args:
      average: after n − 1 updates; for n = 1 its values do not matter, if they are finite.
      newest: a tree like it.
      decay: above 0 and below 1; the average looks back over about 1 / (1 − decay) updates.
      count: n, from 1.
    """
    weight = (1 - decay) / -jnp.expm1(count * math.log(decay))
    return optax.incremental_update(newest, average, weight)


def with_moving_average(step: Callable, decay: float, constrain: Callable) -> Callable:
    """A train step that keeps `state.ema`, the moving averages of the model's variables, too.

    A step that was not finite leaves them as they were.

    Args:
      step: `(state, batch) -> (state, metrics)`.
      decay: as in `update_ema`.
      constrain: `(averages, params, step) -> averages` of the parameters, so that what is pruned
        has the average zero.
    """

    def averaging_step(state, batch):
        updated, metrics = step(state, batch)
        count = state.step + 1 - state.skipped
        newest = update_ema(state.ema, updated.variables, decay=decay, count=count)
        is_kept = metrics["nonfinite_pass"] == 0
        ema = jax.tree.map(lambda new, old: jnp.where(is_kept, new, old), newest, state.ema)
        averages = constrain(ema["params"], updated.params, updated.step)
        return updated.replace(ema=ema | {"params": averages}), metrics

    return averaging_step
