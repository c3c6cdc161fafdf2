"""What several families share: initializations, norms, the head, shortcuts."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

# He normal over the outputs (arXiv 1502.01852).
kaiming = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


def uniform(limit: float) -> nn.initializers.Initializer:
    """An initializer that draws evenly from -limit to limit."""

    def init(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, minval=-limit, maxval=limit)

    return init


def head(num_outputs: int, dtype=None) -> nn.Dense:
    """The last dense layer: kernel uniform in ±1/√(classes), zero bias."""
    return nn.Dense(num_outputs, kernel_init=uniform(1 / math.sqrt(num_outputs)), dtype=dtype)


def pool_and_pad(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """A shortcut without parameters: average pool by the stride, zeros for the new channels."""
    if stride > 1:
        x = nn.avg_pool(x, (stride, stride), strides=(stride, stride))
    return jnp.pad(x, [(0, 0)] * 3 + [(0, channels - x.shape[-1])])
