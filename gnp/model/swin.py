"""Swin transformers: attention within shifted windows (arXiv 2103.14030)."""

import functools

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gnp.model import transformer_layers as parts
from gnp.model.dropout import Dropout
from gnp.model.field_checks import (
    Count,
    Counts,
    Depths,
    DType,
    Flag,
    PatchSize,
    Positive,
    Rate,
    check_stages,
)
from gnp.model.registry import register_model

# Added to attention logits between regions that are neighbours only because of the roll.
_APART = -100.0


class WindowAttention(nn.Module):
    """Multi-head attention within each window, with a learned bias per relative position.

    Attributes:
      num_heads: number of heads; the width is split evenly over them.
      window: height and width of the windows.
      dropout_rate: of the result.
      attention_dropout_rate: of the attention weights.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_heads: int
    window: tuple[int, int]
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    dtype: object = None

    @nn.compact
    def __call__(self, x, mask, train):
        """Attends within windows.

        Args:
          x: batch x windows x tokens x width.
          mask: windows x tokens x tokens, added to the logits, or None.
          train: whether dropout is on.
        """
        width = x.shape[-1]
        qkv = nn.Dense(3 * width, dtype=self.dtype, name="qkv")(x)
        query, key, value = parts.split_heads(qkv, self.num_heads)
        bias = self._bias()
        if mask is not None:
            bias = bias + mask[:, None].astype(bias.dtype)
        drop = Dropout(self.attention_dropout_rate, deterministic=not train)
        x = parts.attend(query, key, value, bias, drop).reshape(x.shape)
        x = nn.Dense(width, dtype=self.dtype, name="proj")(x)
        return Dropout(self.dropout_rate, deterministic=not train)(x)

    def _bias(self):
        """heads x tokens x tokens."""
        height, width = self.window
        table = self.param(
            "relative_position_bias_table",
            nn.initializers.truncated_normal(0.02),
            ((2 * height - 1) * (2 * width - 1), self.num_heads),
        )
        return jnp.moveaxis(table[_relative_positions(self.window)], -1, 0)


class SwinBlock(nn.Module):
    """Layer norm, attention in windows, residual; layer norm, MLP, residual.

    Attributes:
      num_heads: heads of the attention.
      window: side of the windows; an image side of at most this length is one window.
      shifted: roll the image by half a window first.
      pad_after_shift: as in `Swin`.
      mlp_ratio: hidden width of the MLP over the width.
      dropout_rate: after attention and in the MLP.
      attention_dropout_rate: of the attention weights.
      approximate_gelu: the tanh form of GELU.
      norm_epsilon: of the layer norms.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_heads: int
    window: int
    shifted: bool
    pad_after_shift: bool
    mlp_ratio: float
    dropout_rate: float
    attention_dropout_rate: float
    approximate_gelu: bool
    norm_epsilon: float
    dtype: object

    @nn.compact
    def __call__(self, x, drop_path_rate, train):
        """`x` has the shape batch x height x width x channels."""

        def norm(name):
            return nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name=name)

        mlp = parts.Mlp(
            int(self.mlp_ratio * x.shape[-1]),
            self.dropout_rate,
            self.approximate_gelu,
            dtype=self.dtype,
            name="mlp",
        )
        branch = self._attend(norm("norm1")(x), train)
        x += parts.DropPath()(branch, drop_path_rate, train)
        return x + parts.DropPath()(mlp(norm("norm2")(x), train), drop_path_rate, train)

    def _attend(self, x, train):
        """Pads, rolls, splits into windows, attends, and inverts the first three."""
        size = x.shape[1:3]
        window = tuple(min(self.window, side) for side in size)
        shift = tuple(
            self.window // 2 if self.shifted and side > self.window else 0 for side in size
        )
        before, after = (shift, (0, 0)) if self.pad_after_shift else ((0, 0), shift)
        x = _roll(x, before, -1)
        x = jnp.pad(x, [(0, 0), *((0, -s % w) for s, w in zip(size, window, strict=True)), (0, 0)])
        padded = x.shape[1:3]
        x = _roll(x, after, -1)
        x = WindowAttention(
            self.num_heads,
            window,
            self.dropout_rate,
            self.attention_dropout_rate,
            self.dtype,
            name="attention",
        )(_to_windows(x, window), _shift_mask(padded, window, shift), train)
        x = _roll(_from_windows(x, padded, window), after, 1)
        return _roll(x[:, : size[0], : size[1]], before, 1)


class PatchMerging(nn.Module):
    """Concatenates the channels of 2x2 neighbours and halves them; odd sides are zero-padded.

    Attributes:
      norm_epsilon: of the layer norm.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    norm_epsilon: float
    dtype: object

    @nn.compact
    def __call__(self, x):
        """batch x height x width x channels to batch x height/2 x width/2 x 2 channels."""
        x = jnp.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)])
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
        x = x.transpose(0, 1, 3, 4, 2, 5).reshape(batch, height // 2, width // 2, 4 * channels)
        x = nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name="norm")(x)
        return nn.Dense(2 * channels, use_bias=False, dtype=self.dtype, name="reduction")(x)


class Swin(nn.Module):
    """A Swin transformer.

    Attributes:
      num_outputs: number of classes.
      embed_dim: width of the first stage; every further stage doubles it.
      depths: blocks per stage.
      num_heads: heads per stage.
      patch_size: side, or height and width, of a patch, in pixels.
      window_size: side of the windows, in tokens.
      pad_after_shift: if the windows do not tile the image, pad it after the roll, as timm does,
        instead of before it.
      mlp_ratio: hidden width of the MLPs over the width.
      dropout_rate: after the patches, after attention and in the MLPs.
      attention_dropout_rate: of the attention weights.
      drop_path: rate of stochastic depth of the last block; it grows linearly from 0.
      approximate_gelu: the tanh form of GELU instead of the exact one.
      norm_epsilon: of the layer norms.
      remat: recompute the blocks in the backward pass instead of storing their results.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    num_outputs: Count
    embed_dim: Count = 96
    depths: Depths = (2, 2, 6, 2)
    num_heads: Counts = (3, 6, 12, 24)
    patch_size: PatchSize = 4
    window_size: Count = 7
    pad_after_shift: Flag = False
    mlp_ratio: Positive = 4.0
    dropout_rate: Rate = 0.0
    attention_dropout_rate: Rate = 0.1
    drop_path: Rate = 0.0
    approximate_gelu: Flag = True
    norm_epsilon: Positive = 1e-5
    remat: Flag = False
    dtype: DType = None

    @nn.compact
    def __call__(self, inputs, train):
        check_stages(depths=self.depths, num_heads=self.num_heads)
        x = self._patches(inputs)
        x = Dropout(self.dropout_rate, deterministic=not train)(x)
        rates = iter(parts.rising_rates(self.drop_path, sum(self.depths)))
        for stage, (depth, num_heads) in enumerate(zip(self.depths, self.num_heads, strict=True)):
            if stage > 0:
                x = PatchMerging(self.norm_epsilon, self.dtype, name=f"merging{stage}")(x)
            for index in range(depth):
                block = self._block(f"stage{stage}_block{index}", num_heads, shifted=index % 2 == 1)
                x = block(x, next(rates), train)
        x = nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name="norm")(x)
        return nn.Dense(self.num_outputs, dtype=self.dtype, name="head")(x.mean(axis=(1, 2)))

    def _patches(self, images):
        xavier = nn.initializers.xavier_uniform()
        x = parts.embed_patches(images, self.embed_dim, self.patch_size, self.dtype, xavier)
        return nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name="patch_norm")(x)

    def _block(self, name, num_heads, shifted):
        block = nn.remat(SwinBlock, static_argnums=(2, 3)) if self.remat else SwinBlock
        return block(
            num_heads,
            self.window_size,
            shifted,
            self.pad_after_shift,
            self.mlp_ratio,
            self.dropout_rate,
            self.attention_dropout_rate,
            self.approximate_gelu,
            self.norm_epsilon,
            self.dtype,
            name=name,
        )


def _roll(x, shift, sign):
    return jnp.roll(x, [sign * s for s in shift], axis=(1, 2)) if any(shift) else x


def _to_windows(x, window):
    """batch x height x width x channels to batch x windows x tokens x channels."""
    batch, height, width, channels = x.shape
    rows, columns = height // window[0], width // window[1]
    x = x.reshape(batch, rows, window[0], columns, window[1], channels)
    return x.swapaxes(2, 3).reshape(batch, rows * columns, window[0] * window[1], channels)


def _from_windows(x, size, window):
    """The inverse of `_to_windows`."""
    batch, channels = x.shape[0], x.shape[-1]
    rows, columns = size[0] // window[0], size[1] // window[1]
    x = x.reshape(batch, rows, columns, *window, channels)
    return x.swapaxes(2, 3).reshape(batch, *size, channels)


@functools.cache
def _relative_positions(window):
    """Row of the bias table for each pair of tokens in a window: tokens x tokens."""
    rows, columns = (i.ravel() for i in np.indices(window))
    rows = rows[:, None] - rows + window[0] - 1
    columns = columns[:, None] - columns + window[1] - 1
    return (rows * (2 * window[1] - 1) + columns).astype(np.int32)


@functools.cache
def _shift_mask(size, window, shift):
    """The addend to the logits of a rolled image, windows x tokens x tokens, or None."""
    if not any(shift):
        return None
    rows, columns = (
        np.searchsorted([side - w, side - s], np.arange(side), side="right") if s else [0] * side
        for side, w, s in zip(size, window, shift, strict=True)
    )
    regions = 3 * np.asarray(rows)[:, None] + np.asarray(columns)
    regions = _to_windows(regions[None, :, :, None], window)[0, :, :, 0]
    return np.where(regions[:, :, None] != regions[:, None], _APART, 0).astype(np.float32)


_TINY = {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)}
_SMALL = {**_TINY, "depths": (2, 2, 18, 2)}
_BASE = {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)}

for _name, _sizes in {"Tiny": _TINY, "Small": _SMALL, "Base": _BASE}.items():
    for _suffix, _patch in {"": 2, "_Patch4": 4}.items():
        register_model(f"Swin_{_name}{_suffix}")(
            functools.partial(Swin, **_sizes, patch_size=_patch, window_size=4)
        )
register_model("Swin_Tiny_224")(functools.partial(Swin, **_TINY, patch_size=4, window_size=7))
