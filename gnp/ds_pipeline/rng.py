"""Random numbers of the data pipeline, addressed by (seed, epoch, position).

All numbers are from a counter-based generator (Philox) whose counter is the position. So a number
does not depend on earlier numbers, threads, hosts or restarts.
"""

import numpy as np

# One stream per purpose. Append new streams: the number of a stream is part of its seed.
ORDER, IMAGES, STEPS, SPLIT, LABEL_NOISE = range(5)

_WORDS_PER_COUNT = 4  # 64-bit numbers of Philox per value of its counter


def generator(*address: int) -> np.random.Generator:
    """A generator for one address, such as (ORDER, seed, epoch)."""
    return np.random.Generator(_philox(address))


def uniforms(address: tuple[int, ...], start: int, count: int, width: int) -> np.ndarray:
    """Uniform numbers in [0, 1) of the positions `start` to `start + count - 1`.

    Returns:
      float32, count x width. A row depends only on (address, position, width).
    """
    counts_per_row = -(-width // _WORDS_PER_COUNT)
    bits = _philox(address)
    bits.advance(start * counts_per_row)
    words = bits.random_raw(count * counts_per_row * _WORDS_PER_COUNT).reshape(count, -1)
    # The upper 24 bits fill a float32 exactly: the result stays below 1.
    return (words[:, :width] >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def _philox(address):
    return np.random.Philox(key=np.random.SeedSequence(address).generate_state(2, np.uint64))
