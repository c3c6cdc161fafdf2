"""What the transformer families share: attention, MLP, random depth, stacks of equal blocks."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.errors import UserError


def softmax(logits: jax.Array) -> jax.Array:
    """Softmax over the last axis, computed in float32 or wider."""
    return jax.nn.softmax(logits.astype(_at_least_float32(logits.dtype)))


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    bias: jax.Array | None = None,
    drop: Callable[[jax.Array], jax.Array] = lambda weights: weights,
) -> jax.Array:
    """Scaled dot-product attention (arXiv 1706.03762).

    Args:
      query: ... x queries x heads x depth.
      key: ... x keys x heads x depth.
      value: as `key`.
      bias: added to the logits, broadcast to ... x heads x queries x keys.
      drop: dropout of the attention weights.

    Returns:
      Array of the shape and type of `query`.
    """
    logits = jnp.einsum(
        "...qhd,...khd->...hqk",
        query * query.shape[-1] ** -0.5,
        key,
        preferred_element_type=_at_least_float32(query.dtype),
    )
    if bias is not None:
        logits += bias
    weights = drop(softmax(logits).astype(value.dtype))
    return jnp.einsum("...hqk,...khd->...qhd", weights, value)


def head_depth(width: int, num_heads: int) -> int:
    """Channels of one head.

    Raises:
      UserError: the heads do not divide the width.
    """
    if width % num_heads:
        raise UserError(
            f"A width of {width} cannot be split over {num_heads} attention heads; "
            "choose a width that is a multiple of the number of heads."
        )
    return width // num_heads


class Mlp(nn.Module):
    """Dense, GELU, dense back to the width of the input, dropout after each.

    Attributes:
      hidden: width in between.
      dropout_rate: of both dropouts.
      approximate_gelu: the tanh form of GELU (arXiv 1606.08415) instead of the exact one.
      kernel_init: of both layers.
      bias_init: of both layers.
      dtype: type of the computation; None: that of inputs and parameters.
    """

    hidden: int
    dropout_rate: float = 0.0
    approximate_gelu: bool = True
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros
    dtype: object = None

    @nn.compact
    def __call__(self, x, train):
        def dense(features, name):
            return nn.Dense(
                features,
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
                dtype=self.dtype,
                name=name,
            )

        width = x.shape[-1]
        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        x = drop(nn.gelu(dense(self.hidden, "fc1")(x), approximate=self.approximate_gelu))
        return drop(dense(width, "fc2")(x))


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training, whole samples of a branch become zero.

    Kept samples are divided by the probability of being kept. Draws from 'drop_path'.
    """

    @nn.compact
    def __call__(self, x, rate, train):
        """`rate` is the probability of a zero, a number or a scalar array; None: never."""
        if rate is None or not train:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("drop_path"), 1 - rate, shape)
        return jnp.where(kept, x / jnp.asarray(1 - rate, x.dtype), 0)


def drop_path_rates(rate: float, depth: int) -> jax.Array | Sequence[None]:
    """One rate per block, rising evenly from 0 to `rate`; None everywhere where that is 0."""
    return jnp.linspace(0, rate, depth) if rate else [None] * depth


def patch_side(size) -> tuple[int, int]:
    """Height and width of a patch, from a number or a pair."""
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def check_patches(image_shape: Sequence[int], patch: tuple[int, int]) -> None:
    """Raises a `UserError` where patches do not tile the image."""
    height, width = image_shape[1:3]
    if height % patch[0] or width % patch[1]:
        raise UserError(
            f"An image of {height}x{width} pixels cannot be cut into patches of "
            f"{patch[0]}x{patch[1]}; choose sizes where the patches divide the image."
        )


def _at_least_float32(dtype):
    return jnp.promote_types(dtype, jnp.float32)
