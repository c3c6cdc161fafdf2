"""Deterministic parameter values for the golden vectors in this folder.

A leaf's values depend on its role and its number of elements alone, never on its
name, its place in the tree or how its axes are grouped, so that the same values can
be given to any implementation with the same parameters.
"""

import numpy as np


def fill_leaf(shape, role):
    """Values for one parameter or statistic.

    Args:
      shape: shape of the leaf.
      role: 'scale' (weight of a batch or layer norm), 'var' (running variance),
        'table' (relative position bias table), or 'other' (everything else: kernels,
        biases, running means, embeddings, class tokens, layer-scale vectors).
    Returns:
      float32 array of that shape, filled in C order.
    """
    n = int(np.prod(shape, dtype=np.int64))
    noise = np.random.RandomState((n * 2654435761 + sum(map(ord, role))) % 2**32)
    values = noise.standard_normal(n).astype(np.float32).reshape(shape)
    if role == "scale":
        return 1 + 0.1 * values
    if role == "var":
        return 2 * np.exp(0.2 * values)
    if role == "table":
        return 0.5 * values
    if len(shape) == 1:
        return 0.1 * values
    if len(shape) == 4:  # convolution, height x width x in x out
        return values * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
    return values * np.float32(n**-0.25)


def images(batch, size, channels=3, seed=0):
    """Input batch: float32, batch x size x size x channels, standard normal."""
    return (
        np.random.RandomState(seed)
        .standard_normal((batch, size, size, channels))
        .astype(np.float32)
    )


def labels(batch, num_classes, seed=0):
    """Labels: int64, batch."""
    return np.random.RandomState(seed + 1).randint(0, num_classes, batch)
