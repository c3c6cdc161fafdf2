"""Residual networks with two branches mixed by shake-shake (arXiv 1705.07485)."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.model.conv_layers import batch_norm, head, kaiming, run_block, shake, uniform_per_example
from gnp.model.field_checks import Count, Depth, DType, Flag, whole
from gnp.model.registry import register_model

_STEM_WIDTH = 16
_GROUPS = 3


class ShakeShake(nn.Module):
    """α · first + (1 - α) · second, with a uniform α ∈ [0, 1) for each example.

    The backward pass uses another random number in place of α. In evaluation α is ½.
    """

    @nn.compact
    def __call__(self, first, second, train, true_gradient=False):
        if not train:
            return (first + second) / 2
        forward_key, backward_key = jax.random.split(self.make_rng("shake"))
        forward = uniform_per_example(forward_key, first)
        backward = forward if true_gradient else uniform_per_example(backward_key, first)
        return shake(first, forward, backward) + shake(second, 1 - forward, 1 - backward)


class ShakeShakeBlock(nn.Module):
    """Two branches of twice ReLU-conv-BN, mixed, plus the shortcut.

    Attributes:
      channels: of the result.
      stride: of the first convolution of each branch.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    channels: int
    stride: int = 1
    dtype: object = None

    @nn.compact
    def __call__(self, x, train, true_gradient=False):
        norm = functools.partial(batch_norm, use_running_average=not train, dtype=self.dtype)
        conv = functools.partial(nn.Conv, use_bias=False, kernel_init=kaiming, dtype=self.dtype)
        first, second = (self._branch(x, norm, conv) for _ in range(2))
        mixed = ShakeShake()(first, second, train, true_gradient)
        if x.shape[-1] == self.channels:
            return mixed + x
        return mixed + self._shortcut(x, norm, conv)

    def _branch(self, x, norm, conv):
        x = norm()(conv(self.channels, (3, 3), strides=self.stride)(nn.relu(x)))
        return norm()(conv(self.channels, (3, 3))(nn.relu(x)))

    def _shortcut(self, x, norm, conv):
        """Half of the channels from every stride-th pixel, half from the pixels next to these."""
        beside = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
        halves = [
            conv(channels, (1, 1))(image[:, :: self.stride, :: self.stride])
            for image, channels in ((x, self.channels // 2), (beside, (self.channels + 1) // 2))
        ]
        return norm()(jnp.concatenate(halves, axis=-1))


class ShakeShakeNet(nn.Module):
    """Stem, three groups of blocks, mean pool, head.

    With `true_gradient` the backward pass uses the random numbers of the forward pass.

    Attributes:
      num_outputs: number of classes.
      width: channels of the first group; every further group doubles them.
      blocks_per_group: number of blocks per group.
      dtype: dtype of the computation; None: that of inputs and parameters.
      remat: recompute each block in the backward pass instead of storing its results.
    """

    num_outputs: Count
    width: whole(2) = 96
    blocks_per_group: Depth = 4
    dtype: DType = None
    remat: Flag = False

    @nn.compact
    def __call__(self, inputs, train, true_gradient=False):
        conv = nn.Conv(_STEM_WIDTH, (3, 3), use_bias=False, kernel_init=kaiming, dtype=self.dtype)
        x = batch_norm(use_running_average=not train, dtype=self.dtype)(conv(inputs))
        for group in range(_GROUPS):
            for index in range(self.blocks_per_group):
                stride = 2 if group > 0 and index == 0 else 1
                block = ShakeShakeBlock(self.width * 2**group, stride, self.dtype)
                x = run_block(block, x, train, true_gradient, remat=self.remat)
        return head(self.num_outputs, self.dtype)(nn.relu(x).mean(axis=(1, 2)))


register_model("WideResNet_2_96_ShakeShake")(ShakeShakeNet)
