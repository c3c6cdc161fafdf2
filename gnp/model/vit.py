"""Vision transformers (arXiv 2010.11929)."""

import inspect
from collections.abc import Mapping

import jax.numpy as jnp
from flax import linen as nn

from gnp.errors import UserError, unknown_name
from gnp.model import transformer_layers as parts
from gnp.model.dropout import Dropout
from gnp.model.field_checks import (
    Count,
    Depth,
    DType,
    Flag,
    OptionalCount,
    PatchSize,
    Positive,
    Rate,
    check_values,
)
from gnp.model.registry import register_model
from gnp.model.scanned_blocks import BlockStack

_xavier = nn.initializers.xavier_uniform()


class SelfAttention(nn.Module):
    """Multi-head attention with separate dense layers for query, key, value and output.

    Attributes:
      num_heads: number of heads; the width is split evenly over them.
      dropout_rate: of the attention weights.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_heads: int
    dropout_rate: float = 0.0
    dtype: object = None

    @nn.compact
    def __call__(self, x, train):
        width = x.shape[-1]
        heads = (self.num_heads, parts.head_depth(width, self.num_heads))

        def dense(features, name, axis=-1):
            return nn.DenseGeneral(
                features, axis=axis, kernel_init=_xavier, dtype=self.dtype, name=name
            )

        query, key, value = (dense(heads, name)(x) for name in ("query", "key", "value"))
        drop = Dropout(self.dropout_rate, deterministic=not train)
        return dense(width, "out", axis=(-2, -1))(parts.attend(query, key, value, drop=drop))


class ViTBlock(nn.Module):
    """Layer norm, attention, residual; layer norm, MLP, residual.

    Attributes:
      num_heads: heads of the attention.
      mlp_dim: hidden width of the MLP.
      dropout_rate: after attention and in the MLP.
      attention_dropout_rate: of the attention weights.
      approximate_gelu: the tanh form of GELU.
      norm_epsilon: of the layer norms.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_heads: int
    mlp_dim: int
    dropout_rate: float
    attention_dropout_rate: float
    approximate_gelu: bool
    norm_epsilon: float
    dtype: object

    @nn.compact
    def __call__(self, x, drop_path_rate, train):
        def norm(name):
            return nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name=name)

        attention = SelfAttention(
            self.num_heads, self.attention_dropout_rate, self.dtype, name="attention"
        )
        mlp = parts.Mlp(
            self.mlp_dim,
            self.dropout_rate,
            self.approximate_gelu,
            kernel_init=_xavier,
            bias_init=nn.initializers.normal(1e-6),
            dtype=self.dtype,
            name="mlp",
        )
        branch = attention(norm("norm1")(x), train)
        branch = Dropout(self.dropout_rate, deterministic=not train)(branch)
        x += parts.DropPath()(branch, drop_path_rate, train)
        return x + parts.DropPath()(mlp(norm("norm2")(x), train), drop_path_rate, train)


class ViTBase(nn.Module):
    """A vision transformer of any size.

    Attributes:
      num_outputs: number of classes.
      patches: {"size": side or (height, width)}, in pixels.
      hidden_size: width of the tokens.
      transformer: mlp_dim, num_heads, num_layers, dropout_rate (0.1), attention_dropout_rate (0.1).
      representation_size: width of a tanh layer before the head; None: no such layer.
      drop_path: rate of stochastic depth of the last block; it grows linearly from 0.
      approximate_gelu: the tanh form of GELU instead of the exact one.
      norm_epsilon: of the layer norms.
      scan_layers: scan over the blocks, with stacked parameters; compiles faster.
      remat: recompute the blocks in the backward pass instead of storing their results.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_outputs: Count
    patches: Mapping
    hidden_size: Count
    transformer: Mapping
    representation_size: OptionalCount = None
    drop_path: Rate = 0.0
    approximate_gelu: Flag = True
    norm_epsilon: Positive = 1e-6
    scan_layers: Flag = False
    remat: Flag = False
    dtype: DType = None

    @nn.compact
    def __call__(self, inputs, train):
        sizes = {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, **self.transformer}
        depth = sizes.pop("num_layers")
        x = self._tokens(inputs)
        x = Dropout(sizes["dropout_rate"], deterministic=not train)(x)
        block = {
            **sizes,
            "approximate_gelu": self.approximate_gelu,
            "norm_epsilon": self.norm_epsilon,
            "dtype": self.dtype,
        }
        rates = parts.rising_rates(self.drop_path, depth)
        x = BlockStack(ViTBlock, block, rates, self.scan_layers, self.remat, name="blocks")(
            x, train
        )
        x = nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name="norm")(x)[:, 0]
        if self.representation_size is not None:
            x = nn.Dense(self.representation_size, dtype=self.dtype, name="pre_logits")(x)
            x = jnp.tanh(x)
        zeros = nn.initializers.zeros
        return nn.Dense(self.num_outputs, kernel_init=zeros, dtype=self.dtype, name="head")(x)

    def _tokens(self, images):
        """Class token and patches with position embeddings: batch x tokens x width."""
        x = parts.embed_patches(images, self.hidden_size, self.patches["size"], self.dtype)
        x = x.reshape(x.shape[0], -1, self.hidden_size)
        token = self.param("cls_token", nn.initializers.zeros, (1, 1, self.hidden_size))
        x = jnp.concatenate([parts.for_each_sample(token, x), x], axis=1)
        positions = self.param("pos_embed", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        return x + positions.astype(x.dtype)


_PATCHES = {"size": PatchSize}
_SIZES = ("mlp_dim", "num_heads", "num_layers")
_TRANSFORMER = {
    **dict.fromkeys(_SIZES, Count),
    "num_layers": Depth,
    **dict.fromkeys(("dropout_rate", "attention_dropout_rate"), Rate),
}


def _factory(name, hidden_size=None, **sizes):
    """A factory of ViTs with these sizes as defaults."""

    def create(num_outputs, patches=None, hidden_size=hidden_size, transformer=None, **fields):
        patches = _checked(name, "patches", patches, _PATCHES)
        transformer = _checked(name, "transformer", transformer, _TRANSFORMER)
        transformer = {**sizes, **transformer}
        _require(name, {"hidden_size": hidden_size})
        _require(name, {f"transformer.{x}": transformer.get(x) for x in _SIZES})
        size = patches["size"] if patches else _usual_patch(name, num_outputs)
        return ViTBase(num_outputs, {"size": size}, hidden_size, transformer, **fields)

    create.__signature__ = inspect.signature(ViTBase)
    return create


def _checked(name, block, fields, kinds):
    """The fields that are set in a mapping or ConfigDict, checked."""
    if fields is not None and not hasattr(fields, "items"):
        raise UserError(f"{name} takes {block} by name ({', '.join(kinds)}), not as {fields!r}.")
    given = {field: value for field, value in dict(fields or {}).items() if value is not None}
    for field in given:
        if field not in kinds:
            raise unknown_name(f"{block} field of {name}", field, kinds)
    check_values(name, kinds, given, f"{block}.")
    return given


def _require(name, fields):
    for field, value in fields.items():
        if value is None:
            raise UserError(f"{name} has no {field} of its own; set model.model_params.{field}.")


def _usual_patch(name, num_outputs):
    usual = {10: 4, 100: 4, 1000: 16}
    if name == "ViTBase" or num_outputs not in usual:
        raise UserError(
            f"{name} has no usual patch size for {num_outputs} classes; "
            "set model.model_params.patches.size."
        )
    return usual[num_outputs]


def _register(name, *sizes):
    fields = dict(zip(("hidden_size", *_SIZES), sizes, strict=False))
    register_model(name)(_factory(name, **fields))


_register("ViTBase")
_register("ViT_Micro", 32, 64, 2, 2)  # small enough for tests and for images of 8x8 pixels
_register("ViT_TI16", 192, 768, 3, 12)
_register("ViT_S16", 384, 1536, 6, 12)
_register("ViT_B16", 768, 3072, 12, 12)
_register("ViT_L16", 1024, 4096, 16, 24)
