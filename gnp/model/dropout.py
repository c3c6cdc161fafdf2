"""Dropout with 16 random bits per number."""

import jax
import jax.numpy as jnp
from flax import linen as nn

_LEVELS = 2**16


class Dropout(nn.Module):
    """Sets each number to zero with probability `rate` and divides the others by 1 − `rate`.

    Dropout (JMLR 15, 2014) as in Flax, but with 16 random bits per number instead of 32, compared
    as integers, which takes about half the time on CPUs. The probability is the multiple of 2⁻¹⁶
    nearest to `rate`. The divisor uses the same probability, so the mean does not change.

    Attributes:
      rate: probability of a zero, at least 0 and below 1.
      deterministic: keep all numbers.
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x):
        """Uses the random stream 'dropout', unless all numbers are kept."""
        dropped = min(round(self.rate * _LEVELS), _LEVELS - 1)
        if self.deterministic or dropped == 0:
            return x
        kept = _sample_kept(self.make_rng("dropout"), x.shape, dropped)
        return jnp.where(kept, x / (1 - dropped / _LEVELS), 0)


def _sample_kept(key, shape, dropped):
    """True with probability 1 − dropped·2⁻¹⁶.

    Each random word has 16 bits for the first half along the first axis and 16 for the second half.
    This needs no interleaving, which takes a TPU longer than the random bits themselves.
    """
    count, *others = shape or (1,)
    words = jax.random.bits(key, (-(-count // 2), *others), "uint32")
    kept = [half >= dropped for half in (words & (_LEVELS - 1), words >> 16)]
    return jnp.concatenate(kept)[:count].reshape(shape)
