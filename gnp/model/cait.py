"""Class-attention image transformers (arXiv 2103.17239)."""

import functools

import jax.numpy as jnp
from flax import linen as nn

from gnp.model import transformer_layers as parts
from gnp.model.conv_layers import head
from gnp.model.dropout import Dropout
from gnp.model.field_checks import Count, Depth, DType, Flag, PatchSize, Positive, Rate
from gnp.model.registry import register_model
from gnp.model.scanned_blocks import BlockStack


class HeadMix(nn.Module):
    """A dense layer over the heads of attention maps."""

    @nn.compact
    def __call__(self, x):
        """`x` has the shape batch x heads x queries x keys."""
        heads = x.shape[1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (heads, heads))
        bias = self.param("bias", nn.initializers.zeros, (heads,))
        x = jnp.einsum("bhqk,hg->bgqk", x, kernel.astype(x.dtype))
        return x + bias.astype(x.dtype)[:, None, None]


class TalkingHeads(nn.Module):
    """Attention with a mixing of heads before and after the softmax (arXiv 2003.02436).

    Attributes:
      num_heads: number of heads; the width is split evenly over them.
      dropout_rate: of the result.
      attention_dropout_rate: of the attention weights.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_heads: int
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    dtype: object = None

    @nn.compact
    def __call__(self, x, train):
        """`x` has the shape batch x tokens x width."""
        width = x.shape[-1]
        qkv = nn.Dense(3 * width, dtype=self.dtype, name="qkv")(x)
        query, key, value = parts.split_heads(qkv, self.num_heads)
        logits = HeadMix(name="mix_logits")(parts.attention_logits(query, key))
        weights = HeadMix(name="mix_weights")(parts.softmax(logits).astype(value.dtype))
        weights = Dropout(self.attention_dropout_rate, deterministic=not train)(weights)
        x = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(x.shape)
        x = nn.Dense(width, dtype=self.dtype, name="proj")(x)
        return Dropout(self.dropout_rate, deterministic=not train)(x)


class ClassAttention(nn.Module):
    """Attention from the first token to all tokens.

    Attributes:
      num_heads: number of heads; the width is split evenly over them.
      dropout_rate: of the result.
      attention_dropout_rate: of the attention weights.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_heads: int
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    dtype: object = None

    @nn.compact
    def __call__(self, x, train):
        """batch x tokens x width to batch x 1 x width."""
        batch, _, width = x.shape
        depth = parts.head_depth(width, self.num_heads)

        def dense(name, y):
            return nn.Dense(width, dtype=self.dtype, name=name)(y)

        query, key, value = (
            dense(name, y).reshape(batch, -1, self.num_heads, depth)
            for name, y in (("query", x[:, :1]), ("key", x), ("value", x))
        )
        drop = Dropout(self.attention_dropout_rate, deterministic=not train)
        x = parts.attend(query, key, value, drop=drop).reshape(batch, 1, width)
        return Dropout(self.dropout_rate, deterministic=not train)(dense("proj", x))


class LayerScale(nn.Module):
    """One trained factor per channel.

    Attributes:
      initial: value at the start.
    """

    initial: float

    @nn.compact
    def __call__(self, x):
        gamma = self.param("gamma", nn.initializers.constant(self.initial), (x.shape[-1],))
        return x * gamma.astype(x.dtype)


class CaiTBlock(nn.Module):
    """Layer norm, attention, layer scale, residual; layer norm, MLP, layer scale, residual.

    Attributes:
      num_heads: heads of the attention.
      mlp_ratio: hidden width of the MLP over the width.
      layer_scale: initial value of the layer scales.
      dropout_rate: after attention and in the MLP.
      attention_dropout_rate: of the attention weights.
      approximate_gelu: the tanh form of GELU.
      norm_epsilon: of the layer norms.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_heads: int
    mlp_ratio: float
    layer_scale: float
    dropout_rate: float
    attention_dropout_rate: float
    approximate_gelu: bool
    norm_epsilon: float
    dtype: object

    @nn.compact
    def __call__(self, x, drop_path_rate, train, patches=None):
        """Attends between tokens `x`, or from the class token `x` to itself and the `patches`."""

        def norm(name):
            return nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name=name)

        def residual(x, branch, name):
            branch = LayerScale(self.layer_scale, name=name)(branch)
            return x + parts.DropPath()(branch, drop_path_rate, train)

        attention = (TalkingHeads if patches is None else ClassAttention)(
            self.num_heads,
            self.dropout_rate,
            self.attention_dropout_rate,
            self.dtype,
            name="attention",
        )
        mlp = parts.Mlp(
            int(self.mlp_ratio * x.shape[-1]),
            self.dropout_rate,
            self.approximate_gelu,
            dtype=self.dtype,
            name="mlp",
        )
        tokens = x if patches is None else jnp.concatenate([x, patches], axis=1)
        x = residual(x, attention(norm("norm1")(tokens), train), "gamma1")
        return residual(x, mlp(norm("norm2")(x), train), "gamma2")


class CaiT(nn.Module):
    """A class-attention image transformer.

    Attributes:
      num_outputs: number of classes.
      embed_dim: width of the tokens.
      num_heads: heads of every attention layer.
      depth: number of blocks in which the patches attend to each other.
      class_depth: number of blocks in which the class token attends to the patches.
      patch_size: side, or height and width, of a patch, in pixels.
      mlp_ratio: hidden width of the MLPs over the width.
      layer_scale: initial value of the layer scales.
      dropout_rate: after the patches, after attention and in the MLPs.
      attention_dropout_rate: of the attention weights.
      drop_path: rate of stochastic depth, the same in all `depth` blocks.
      approximate_gelu: the tanh form of GELU instead of the exact one.
      norm_epsilon: of the layer norms.
      scan_layers: scan over the `depth` blocks, with stacked parameters; compiles faster.
      remat: recompute these blocks in the backward pass instead of storing their results.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_outputs: Count
    embed_dim: Count = 192
    num_heads: Count = 4
    depth: Depth = 12
    class_depth: Depth = 2
    patch_size: PatchSize = 4
    mlp_ratio: Positive = 4.0
    layer_scale: float = 1e-5
    dropout_rate: Rate = 0.0
    attention_dropout_rate: Rate = 0.0
    drop_path: Rate = 0.0
    approximate_gelu: Flag = True
    norm_epsilon: Positive = 1e-6
    scan_layers: Flag = False
    remat: Flag = False
    dtype: DType = None

    @nn.compact
    def __call__(self, inputs, train):
        block = {
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "layer_scale": self.layer_scale,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "approximate_gelu": self.approximate_gelu,
            "norm_epsilon": self.norm_epsilon,
            "dtype": self.dtype,
        }
        patches = self._patches(inputs)
        patches = Dropout(self.dropout_rate, deterministic=not train)(patches)
        rates = (self.drop_path,) * self.depth
        patches = BlockStack(CaiTBlock, block, rates, self.scan_layers, self.remat, name="blocks")(
            patches, train
        )
        token = self.param("cls_token", nn.initializers.zeros, (1, 1, self.embed_dim))
        token = parts.for_each_sample(token, patches)
        for index in range(self.class_depth):
            layer = CaiTBlock(**block, name=f"class_block{index}")
            token = layer(token, 0.0, train, patches)
        token = nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name="norm")(token)
        return head(self.num_outputs, self.dtype, name="head")(token[:, 0])

    def _patches(self, images):
        """Patches with position embeddings: batch x tokens x width."""
        x = parts.embed_patches(images, self.embed_dim, self.patch_size, self.dtype)
        x = x.reshape(x.shape[0], -1, self.embed_dim)
        positions = self.param("pos_embed", nn.initializers.zeros, (1, *x.shape[1:]))
        return x + positions.astype(x.dtype)


_SIZES = {  # width, heads, initial layer scale, depths
    "XXS": (192, 4, 1e-5, (12, 24, 36)),
    "XS": (288, 6, 1e-5, (12, 24)),
    "S": (384, 8, 1e-5, (12, 24, 36)),
    "M": (768, 16, 1e-6, (24, 36, 48)),
}

for _size, (_width, _heads, _scale, _depths) in _SIZES.items():
    for _depth in _depths:
        register_model(f"CaiT_{_size}{_depth}")(
            functools.partial(
                CaiT, embed_dim=_width, num_heads=_heads, depth=_depth, layer_scale=_scale
            )
        )
