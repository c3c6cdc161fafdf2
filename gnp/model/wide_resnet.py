"""Wide residual networks (arXiv 1605.07146)."""

import functools

from flax import linen as nn

from gnp.errors import UserError
from gnp.model.conv_layers import batch_norm, head, kaiming, pool_and_pad, run_block
from gnp.model.field_checks import Count, Depth, DType, Flag
from gnp.model.registry import register_model


class WideResNetBlock(nn.Module):
    """Twice BN-ReLU-conv, plus the shortcut.

    Attributes:
      channels: of the result.
      stride: of the first convolution.
      activate_before_shortcut: the shortcut starts after the first BN-ReLU.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    channels: int
    stride: int = 1
    activate_before_shortcut: bool = False
    dtype: object = None

    @nn.compact
    def __call__(self, x, train):
        norm = functools.partial(batch_norm, use_running_average=not train, dtype=self.dtype)
        conv = functools.partial(
            nn.Conv, self.channels, (3, 3), use_bias=False, kernel_init=kaiming, dtype=self.dtype
        )
        shortcut = x
        x = nn.relu(norm()(x))
        if self.activate_before_shortcut:
            shortcut = x
        x = conv(strides=self.stride)(x)
        x = conv()(nn.relu(norm()(x)))
        return x + pool_and_pad(shortcut, self.channels, self.stride)


class WideResNet(nn.Module):
    """A network of depth 6n + 4 and width factor k.

    Attributes:
      num_outputs: number of classes.
      depth: number of layers, 6n + 4.
      width: factor k of the widths 16, 32, 64.
      use_additional_skip_connections: further shortcuts over each group and the whole body.
      dtype: dtype of the computation; None: that of inputs and parameters.
      remat: recompute each block in the backward pass instead of storing its results.
    """

    num_outputs: Count
    depth: Depth = 28
    width: Count = 10
    use_additional_skip_connections: Flag = False
    dtype: DType = None
    remat: Flag = False

    @nn.compact
    def __call__(self, inputs, train):
        if self.depth < 10 or self.depth % 6 != 4:
            raise UserError(
                f"A WideResNet of depth {self.depth} cannot be built; choose a depth of 6n + 4 "
                "layers for n blocks in each group, such as 16, 28 or 40."
            )
        x = nn.Conv(16, (3, 3), use_bias=False, kernel_init=kaiming, dtype=self.dtype)(inputs)
        body = x
        for group, channels in enumerate((16 * self.width, 32 * self.width, 64 * self.width)):
            x = self._group(x, channels, group, train)
        if self.use_additional_skip_connections:
            x += pool_and_pad(body, x.shape[-1], 4)
        x = nn.relu(batch_norm(use_running_average=not train, dtype=self.dtype)(x))
        return head(self.num_outputs, self.dtype)(x.mean(axis=(1, 2)))

    def _group(self, x, channels, group, train):
        stride = 1 if group == 0 else 2
        before = x
        for index in range((self.depth - 4) // 6):
            block = WideResNetBlock(
                channels,
                stride=stride if index == 0 else 1,
                activate_before_shortcut=group == index == 0,
                dtype=self.dtype,
            )
            x = run_block(block, x, train, remat=self.remat)
        if self.use_additional_skip_connections:
            x += pool_and_pad(before, channels, stride)
        return x


for _depth, _width in ((10, 1), (16, 4), (28, 10), (40, 10)):
    register_model(f"WideResNet_{_depth}_{_width}")(
        functools.partial(WideResNet, depth=_depth, width=_width)
    )
