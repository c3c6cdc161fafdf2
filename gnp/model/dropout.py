"""Dropout that draws fewer random bits."""

import jax
import jax.numpy as jnp
from flax import linen as nn

_LEVELS = 2**16


class Dropout(nn.Module):
    """Sets each number to zero with probability `rate`, divides the others by that of being kept.

    Dropout (JMLR 15, 2014) as in Flax, except that a draw takes 16 random bits instead of 32 and
    stays an integer, which on CPUs takes about half the time. So the probability is the
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
        kept = _draw_kept(self.make_rng("dropout"), x.shape, dropped)
        return jnp.where(kept, x / (1 - dropped / _LEVELS), 0)


def _draw_kept(key, shape, dropped):
    """True with probability 1 − dropped·2⁻¹⁶.

    Each random word decides twice: for the first half along the first axis, and for the second. So
    nothing changes places, which takes a TPU longer than drawing does.
    """
    count, *others = shape or (1,)
    words = jax.random.bits(key, (-(-count // 2), *others), "uint32")
    kept = [half >= dropped for half in (words & (_LEVELS - 1), words >> 16)]
    return jnp.concatenate(kept)[:count].reshape(shape)
