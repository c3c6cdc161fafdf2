"""Residual networks (arXiv 1512.03385)."""

import functools

from flax import linen as nn

from gnp.errors import unknown_name
from gnp.model.conv_layers import batch_norm, head, kaiming, run_block
from gnp.model.field_checks import Count, Counts, Depths, DType, Flag, check_stages
from gnp.model.registry import register_model

_LARGEST_CIFAR_IMAGE = 64
_STEMS = ("auto", "cifar", "imagenet")


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, each with a batch norm, and the shortcut.

    Attributes:
      channels: of both convolutions.
      stride: of the first convolution.
      symmetric_padding: as in `ResNet`.
      dtype: dtype of the computation; None: that of inputs and parameters.
      conv_bias: as in `ResNet`.
    """

    channels: int
    stride: int = 1
    symmetric_padding: bool = False
    dtype: object = None
    conv_bias: bool = True

    @nn.compact
    def __call__(self, x, train):
        norm, conv = _layers(train, self.dtype, self.symmetric_padding, self.conv_bias)
        shortcut = x
        x = nn.relu(norm()(conv(self.channels, 3, self.stride)(x)))
        x = norm()(conv(self.channels, 3)(x))
        return nn.relu(x + _project(shortcut, x, self.stride, norm, conv))


class BottleneckBlock(nn.Module):
    """Convolutions of 1×1, 3×3 and 1×1, each with a batch norm, and the shortcut.

    Attributes:
      channels: of the first two convolutions; the third has four times as many.
      stride: of the second convolution.
      symmetric_padding: as in `ResNet`.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    channels: int
    stride: int = 1
    symmetric_padding: bool = False
    dtype: object = None

    @nn.compact
    def __call__(self, x, train):
        norm, conv = _layers(train, self.dtype, self.symmetric_padding, use_bias=False)
        shortcut = x
        x = nn.relu(norm()(conv(self.channels, 1)(x)))
        x = nn.relu(norm()(conv(self.channels, 3, self.stride)(x)))
        x = norm()(conv(4 * self.channels, 1)(x))
        return nn.relu(x + _project(shortcut, x, self.stride, norm, conv))


def _layers(train, dtype, symmetric_padding, use_bias):
    def conv(channels, side, stride=1):
        return nn.Conv(
            channels,
            (side, side),
            strides=stride,
            padding=side // 2 if symmetric_padding else "SAME",
            use_bias=use_bias,
            kernel_init=kaiming,
            dtype=dtype,
        )

    norm = functools.partial(batch_norm, use_running_average=not train, dtype=dtype)
    return norm, conv


def _project(shortcut, x, stride, norm, conv):
    if shortcut.shape == x.shape:
        return shortcut
    return norm()(conv(x.shape[-1], 1, stride)(shortcut))


_BLOCKS = {"basic": BasicBlock, "bottleneck": BottleneckBlock}


class ResNet(nn.Module):
    """Stem, stages of blocks, mean pool, head.

    Attributes:
      num_outputs: number of classes.
      depths: blocks per stage; every stage except the first halves the sides.
      block: 'basic' or 'bottleneck'.
      widths: channels per stage, before a bottleneck's expansion.
      stem: 'imagenet' (7×7 with stride 2, 64 filters, max pool), 'cifar' (3×3, 16 filters) or
        'auto': 'imagenet' for images of more than 64 pixels, otherwise 'cifar'.
      stem_relu: a ReLU before the stem's max pool.
      symmetric_padding: pad strided layers by the same number of zeros on both sides, as PyTorch
        does, instead of by more zeros after the image.
      conv_bias: biases of the convolutions in basic blocks, which timm's models have not, and which
        the batch norms behind them make superfluous; bottlenecks have none.
      dtype: dtype of the computation; None: that of inputs and parameters.
      remat: recompute each block in the backward pass instead of storing its results.
    """

    num_outputs: Count
    depths: Depths = (3, 4, 6, 3)
    block: str = "bottleneck"
    widths: Counts = (64, 128, 256, 512)
    stem: str = "auto"
    stem_relu: Flag = False
    symmetric_padding: Flag = False
    conv_bias: Flag = True
    dtype: DType = None
    remat: Flag = False

    @nn.compact
    def __call__(self, inputs, train):
        check_stages(depths=self.depths, widths=self.widths)
        if self.block not in _BLOCKS:
            raise unknown_name("block", self.block, _BLOCKS)
        block_class = _BLOCKS[self.block]
        if block_class is BasicBlock:
            block_class = functools.partial(BasicBlock, conv_bias=self.conv_bias)
        x = self._stem(inputs, train)
        for stage, (depth, channels) in enumerate(zip(self.depths, self.widths, strict=True)):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                block = block_class(channels, stride, self.symmetric_padding, self.dtype)
                x = run_block(block, x, train, remat=self.remat)
        return head(self.num_outputs, self.dtype)(x.mean(axis=(1, 2)))

    def _stem(self, inputs, train):
        if self.stem not in _STEMS:
            raise unknown_name("stem", self.stem, _STEMS)
        is_large = max(inputs.shape[1:3]) > _LARGEST_CIFAR_IMAGE
        norm, conv = _layers(train, self.dtype, self.symmetric_padding, use_bias=False)
        if self.stem == "cifar" or (self.stem == "auto" and not is_large):
            return norm()(conv(16, 3)(inputs))
        x = norm()(conv(64, 7, 2)(inputs))
        x = nn.relu(x) if self.stem_relu else x
        padding = [(1, 1), (1, 1)] if self.symmetric_padding else "SAME"
        return nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding=padding)


for _name, _block, _depths in (
    ("ResNet18", "basic", (2, 2, 2, 2)),
    ("ResNet34", "basic", (3, 4, 6, 3)),
    ("ResNet50", "bottleneck", (3, 4, 6, 3)),
    ("ResNet101", "bottleneck", (3, 4, 23, 3)),
    ("ResNet152", "bottleneck", (3, 8, 36, 3)),
    ("ResNet200", "bottleneck", (3, 24, 36, 3)),
):
    register_model(_name)(functools.partial(ResNet, depths=_depths, block=_block))
