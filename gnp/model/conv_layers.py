"""Layers shared by the convolutional families: initializers, norms, head, shortcuts, remat."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

# He normal, fan-out (arXiv 1502.01852).
kaiming = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


def uniform(limit: float) -> nn.initializers.Initializer:
    """An initializer that samples uniformly from -limit to limit."""

    def init(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, minval=-limit, maxval=limit)

    return init


def head(num_outputs: int, dtype=None, name=None) -> nn.Dense:
    """The last dense layer: kernel uniform in ±1/√(classes), zero bias."""
    init = uniform(1 / math.sqrt(num_outputs))
    return nn.Dense(num_outputs, kernel_init=init, dtype=dtype, name=name)


def pool_and_pad(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """A shortcut without parameters: average pool by the stride, zeros for new channels.

    If the stride does not divide the sides, the last windows average only their existing pixels.
    """
    if stride > 1:
        # If it divides them, there is no padding, and no need to count the pixels of each window.
        divides = all(side % stride == 0 for side in x.shape[1:3])
        window = (stride, stride)
        x = nn.avg_pool(
            x, window_shape=window, strides=window, padding="SAME", count_include_pad=divides
        )
    return jnp.pad(x, [(0, 0)] * 3 + [(0, channels - x.shape[-1])])


def run_block(block: nn.Module, x: jax.Array, *flags: bool, remat: bool) -> jax.Array:
    """Calls `block(x, *flags)`.

    Args:
      block: a submodule.
      x: its input.
      flags: its further arguments, not traced.
      remat: recompute the block's intermediate results in the backward pass instead of storing
        them: less memory, more time, the same gradient.
    """
    if not remat:
        return block(x, *flags)
    return nn.remat(lambda module, x: module(x, *flags))(block, x)


@jax.custom_vjp
def shake(x: jax.Array, forward: jax.Array, backward: jax.Array) -> jax.Array:
    """x · forward in the forward pass, with the gradient of x · backward.

    Args:
      x: any array.
      forward: coefficients that broadcast to x.
      backward: coefficients of the gradient. Both coefficients have no gradient themselves.
    """
    return x * forward


shake.defvjp(
    lambda x, forward, backward: (x * forward, backward),
    lambda backward, gradient: (gradient * backward, None, None),
)


def per_example(x: jax.Array) -> tuple[int, ...]:
    """The shape of one number per example, which broadcasts to the batch x."""
    return (x.shape[0],) + (1,) * (x.ndim - 1)


def uniform_per_example(
    key: jax.Array, x: jax.Array, low: float = 0.0, high: float = 1.0
) -> jax.Array:
    """A uniform number in [low, high) per example, which broadcasts to x and has its type."""
    return jax.random.uniform(key, per_example(x), minval=low, maxval=high).astype(x.dtype)
