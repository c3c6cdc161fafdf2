"""Layers shared by the transformer families: attention, MLP, stochastic depth, patches."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.errors import UserError
from gnp.model.dropout import Dropout

_lecun_normal = nn.initializers.lecun_normal()  # the default of Flax

_multiply = functools.partial(jnp.einsum, "...qhd,...khd->...hqk")  # queries with keys


def softmax(logits: jax.Array) -> jax.Array:
    """Softmax over the last axis, computed in float32 or wider."""
    return jax.nn.softmax(logits.astype(_at_least_float32(logits.dtype)))


def attention_logits(query: jax.Array, key: jax.Array) -> jax.Array:
    """Scaled products of queries and keys, in float32 or wider.

    Args:
      query: ... x queries x heads x depth.
      key: ... x keys x heads x depth.

    Returns:
      ... x heads x queries x keys.
    """
    return _products(query * query.shape[-1] ** -0.5, key)


@jax.custom_jvp
def _products(query, key):
    return _multiply(query, key, preferred_element_type=_at_least_float32(query.dtype))


@_products.defjvp
def _products_jvp(primals, tangents):
    """Differentiates products in the inputs' type.

    JAX's own rule would multiply in float32 in the backward pass, without the fast bfloat16 units.
    """
    (query, key), (query_dot, key_dot) = primals, tangents
    products = _products(query, key)
    products_dot = _multiply(query_dot, key) + _multiply(query, key_dot)
    return products, products_dot.astype(products.dtype)


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
      value: same shape as `key`.
      bias: added to the logits, broadcast to ... x heads x queries x keys.
      drop: dropout of the attention weights.

    Returns:
      Array of the shape and type of `query`.
    """
    logits = attention_logits(query, key)
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


def split_heads(qkv: jax.Array, num_heads: int) -> list[jax.Array]:
    """Splits the output of one dense layer into queries, keys and values.

    Args:
      qkv: ... x tokens x 3·width: queries, keys, values, each ordered by head.
      num_heads: number of heads; the width is split evenly over them.

    Returns:
      Three arrays, ... x tokens x heads x depth.

    Raises:
      UserError: the heads do not divide the width.
    """
    heads = (num_heads, head_depth(qkv.shape[-1] // 3, num_heads))
    return [part.reshape(*part.shape[:-1], *heads) for part in jnp.split(qkv, 3, axis=-1)]


class Mlp(nn.Module):
    """Dense, GELU and dense back to the input's width, with dropout after both.

    Attributes:
      hidden: width of the hidden layer.
      dropout_rate: of both dropouts.
      approximate_gelu: the tanh form of GELU (arXiv 1606.08415) instead of the exact one.
      kernel_init: of both layers.
      bias_init: of both layers.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    hidden: int
    dropout_rate: float = 0.0
    approximate_gelu: bool = True
    kernel_init: Callable = _lecun_normal
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
        drop = Dropout(self.dropout_rate, deterministic=not train)
        x = drop(nn.gelu(dense(self.hidden, "fc1")(x), approximate=self.approximate_gelu))
        return drop(dense(width, "fc2")(x))


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training, zeroes a branch for random samples.

    The other samples are divided by the probability of being kept. Uses the random stream
    'drop_path'.
    """

    @nn.compact
    def __call__(self, x, rate, train):
        """`rate` is the probability of zero, a number or a scalar array."""
        if not train or (not isinstance(rate, jax.Array) and rate == 0):
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("drop_path"), 1 - rate, shape)
        return jnp.where(kept, x / jnp.asarray(1 - rate, x.dtype), 0)


def rising_rates(rate: float, depth: int) -> tuple[float, ...]:
    """Rates of stochastic depth that grow linearly from 0 at the first block to `rate`."""
    return tuple(rate * index / max(depth - 1, 1) for index in range(depth))


def embed_patches(
    images: jax.Array,
    width: int,
    patch: int | Sequence[int],
    dtype: object,
    kernel_init: Callable = _lecun_normal,
) -> jax.Array:
    """One token per patch, by a convolution "patch_embed". For use in a compact module.

    Args:
      images: batch x height x width x channels.
      width: of the tokens.
      patch: side, or height and width, in pixels.
      dtype: dtype of the computation.
      kernel_init: of the convolution.

    Returns:
      batch x rows x columns x width.

    Raises:
      UserError: the patches do not tile the images.
    """
    patch = tuple(patch) if isinstance(patch, Sequence) else (patch, patch)
    size = images.shape[1:3]
    if size[0] % patch[0] or size[1] % patch[1]:
        raise UserError(
            f"An image of {size[0]}x{size[1]} pixels cannot be cut into patches of "
            f"{patch[0]}x{patch[1]}; choose sizes where the patches divide the image."
        )
    return nn.Conv(
        width,
        patch,
        patch,
        padding="VALID",
        kernel_init=kernel_init,
        dtype=dtype,
        name="patch_embed",
    )(images)


def for_each_sample(token: jax.Array, x: jax.Array) -> jax.Array:
    """Repeats a trained token, 1 x 1 x width, for each sample of `x`, and casts it to its type."""
    return jnp.broadcast_to(token.astype(x.dtype), (x.shape[0], *token.shape[1:]))


def _at_least_float32(dtype):
    return jnp.promote_types(dtype, jnp.float32)
