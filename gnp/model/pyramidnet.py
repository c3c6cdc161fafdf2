"""Pyramidal residual networks (arXiv 1610.02915), without and with ShakeDrop (arXiv 1802.02375)."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.errors import UserError
from gnp.model.conv_layers import (
    batch_norm,
    head,
    kaiming,
    per_example,
    pool_and_pad,
    run_block,
    shake,
    uniform_per_example,
)
from gnp.model.field_checks import Count, Depth, DType, Flag, Positive
from gnp.model.registry import register_model

_STEM_WIDTH = 16
_GROUPS = 3


class ShakeDrop(nn.Module):
    """Multiplies the residual branch by a random factor for each example.

    With probability `keep` the factor of an example is 1. Otherwise it is a uniform number α in the
    forward pass and β in the backward pass. In evaluation it is the expectation of the forward
    factor.

    Attributes:
      keep: probability of the factor 1.
      alpha: range of α.
      beta: range of β.
    """

    keep: float
    alpha: tuple[float, float] = (-1.0, 1.0)
    beta: tuple[float, float] = (0.0, 1.0)

    @nn.compact
    def __call__(self, x, train, true_gradient=False):
        if not train:
            return x * (self.keep + (1 - self.keep) * sum(self.alpha) / 2)
        keep_key, alpha_key, beta_key = jax.random.split(self.make_rng("shake"), 3)
        kept = jax.random.bernoulli(keep_key, self.keep, per_example(x))
        forward = jnp.where(kept, 1, uniform_per_example(alpha_key, x, *self.alpha))
        backward = jnp.where(kept, 1, uniform_per_example(beta_key, x, *self.beta))
        return shake(x, forward, forward if true_gradient else backward)


class PyramidNetBlock(nn.Module):
    """BN, 1×1, BN-ReLU, 3×3, BN-ReLU, 1×1, BN, and a shortcut without parameters.

    Attributes:
      width: channels of the first two convolutions; the third has four times as many.
      stride: of the second convolution.
      shake_drop: creates the ShakeDrop module of the branch; None: no ShakeDrop.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    width: int
    stride: int = 1
    shake_drop: Callable[[], nn.Module] | None = None
    dtype: object = None

    @nn.compact
    def __call__(self, x, train, true_gradient=False):
        norm = functools.partial(batch_norm, use_running_average=not train, dtype=self.dtype)
        conv = functools.partial(nn.Conv, use_bias=False, kernel_init=kaiming, dtype=self.dtype)
        shortcut = pool_and_pad(x, 4 * self.width, self.stride)
        x = conv(self.width, (1, 1))(norm()(x))
        x = conv(self.width, (3, 3), strides=self.stride)(nn.relu(norm()(x)))
        x = norm()(conv(4 * self.width, (1, 1))(nn.relu(norm()(x))))
        if self.shake_drop is not None:
            x = self.shake_drop()(x, train, true_gradient)
        return x + shortcut


class PyramidNet(nn.Module):
    """Three groups of bottleneck blocks with a width that grows from block to block.

    The last feature maps, 8×8 for images of 32×32, are averaged over all pixels.

    Attributes:
      num_outputs: number of classes.
      pyramid_depth: number of layers, 9n + 2 for n blocks in each group.
      pyramid_alpha: growth of the width from the stem to the last block.
      dtype: dtype of the computation; None: that of inputs and parameters.
      remat: recompute each block in the backward pass instead of storing its results.
    """

    num_outputs: Count
    pyramid_depth: Depth
    pyramid_alpha: Positive
    dtype: DType = None
    remat: Flag = False

    @nn.compact
    def __call__(self, inputs, train):
        x = self._stem(inputs)
        for block in self._blocks():
            x = run_block(block, x, train, remat=self.remat)
        return self._classify(x, train)

    def _stem(self, inputs):
        conv = nn.Conv(_STEM_WIDTH, (3, 3), use_bias=False, kernel_init=kaiming, dtype=self.dtype)
        return conv(inputs)

    def _blocks(self):
        if self.pyramid_depth < 11 or self.pyramid_depth % 9 != 2:
            raise UserError(
                f"A PyramidNet of depth {self.pyramid_depth} cannot be built; choose a "
                "pyramid_depth of 9n + 2 layers for n blocks in each group, such as 110 or 164."
            )
        per_group = (self.pyramid_depth - 2) // 9
        total = _GROUPS * per_group
        # A running sum, because its rounding errors decide how halves are rounded.
        width = _STEM_WIDTH
        for index in range(1, total + 1):
            width += self.pyramid_alpha / total
            yield PyramidNetBlock(
                round(width),
                stride=2 if index in (per_group + 1, 2 * per_group + 1) else 1,
                shake_drop=self._shake_drop(index / total),
                dtype=self.dtype,
            )

    def _shake_drop(self, depth):
        """Creates the ShakeDrop of a block at this fraction of the depth; None: no ShakeDrop."""
        del depth
        return None

    def _classify(self, x, train):
        x = nn.relu(batch_norm(use_running_average=not train, dtype=self.dtype)(x))
        return head(self.num_outputs, self.dtype)(x.mean(axis=(1, 2)))


class PyramidNetShakeDrop(PyramidNet):
    """A PyramidNet with batch norm in the stem and ShakeDrop in every block.

    With `true_gradient` the backward pass uses the factors of the forward pass.

    Attributes:
      mask_prob: probability of a random factor in the last block; it grows linearly from 0.
      alpha: range of ShakeDrop's factors in the forward pass.
      beta: range of its factors in the backward pass.
    """

    mask_prob: float = 0.5
    alpha: tuple[float, float] = (-1.0, 1.0)
    beta: tuple[float, float] = (0.0, 1.0)

    @nn.compact
    def __call__(self, inputs, train, true_gradient=False):
        x = batch_norm(use_running_average=not train, dtype=self.dtype)(self._stem(inputs))
        for block in self._blocks():
            x = run_block(block, x, train, true_gradient, remat=self.remat)
        return self._classify(x, train)

    def _shake_drop(self, depth):
        return functools.partial(ShakeDrop, 1 - self.mask_prob * depth, self.alpha, self.beta)


register_model("PyramidNetBase")(PyramidNet)
for _depth, _alpha in ((164, 48), (164, 270), (200, 240), (272, 200)):
    register_model(f"PyramidNet_{_depth}_{_alpha}")(
        functools.partial(PyramidNet, pyramid_depth=_depth, pyramid_alpha=_alpha)
    )
for _depth, _alpha in ((164, 48), (272, 200)):
    register_model(f"PyramidNet_{_depth}_{_alpha}_ShakeDrop")(
        functools.partial(PyramidNetShakeDrop, pyramid_depth=_depth, pyramid_alpha=_alpha)
    )
