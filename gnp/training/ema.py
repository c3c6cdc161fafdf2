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
    weight = jnp.where(count == 1, 1, (1 - decay) / -jnp.expm1(count * math.log(decay)))
    updated = optax.incremental_update(newest, average, weight)
    # What does not change keeps its bits.
    return jax.tree.map(lambda new, old, x: jnp.where(x == old, old, new), updated, average, newest)


def with_moving_average(update: Callable, decay: float) -> Callable:
    """An update of a train state that keeps `state.ema`, the averages of its variables, too.

    Args:
      update: `(state, batch) -> (state, metrics)`.
      decay: as in `update_ema`.
    """

    def averaging_update(state, batch):
        updated, metrics = update(state, batch)
        count = state.step + 1 - state.skipped
        ema = update_ema(state.ema, updated.variables, decay=decay, count=count)
        return updated.replace(ema=ema), metrics

    return averaging_update
