"""VGG networks with and without batch norm (arXiv 1409.1556)."""

import functools
import math

from flax import linen as nn

from gnp.errors import UserError
from gnp.model.conv_layers import batch_norm, head, kaiming, run_block, uniform
from gnp.model.dropout import Dropout
from gnp.model.field_checks import Count, Counts, Depths, DType, Flag, Rate, check_stages
from gnp.model.registry import register_model


class VGGBlock(nn.Module):
    """3×3 convolutions with ReLU, then a 2×2 max pool.

    Attributes:
      channels: of each convolution.
      depth: number of convolutions.
      use_batch_norm: batch norm after each convolution.
      dtype: dtype of the computation; None: that of inputs and parameters.
    """

    channels: int
    depth: int
    use_batch_norm: bool = False
    dtype: object = None

    @nn.compact
    def __call__(self, x, train):
        for _ in range(self.depth):
            x = nn.Conv(self.channels, (3, 3), kernel_init=kaiming, dtype=self.dtype)(x)
            if self.use_batch_norm:
                x = batch_norm(use_running_average=not train, dtype=self.dtype)(x)
            x = nn.relu(x)
        return nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))


class VGG(nn.Module):
    """Blocks of convolutions, two dense layers with dropout, head.

    Attributes:
      num_outputs: number of classes.
      depths: convolutions per block.
      widths: channels per block.
      dense_width: outputs of the two dense layers.
      dropout_rate: dropout rate of these outputs.
      use_batch_norm: batch norm after each convolution.
      dtype: dtype of the computation; None: that of inputs and parameters.
      remat: recompute each block in the backward pass instead of storing its results.
    """

    num_outputs: Count
    depths: Depths = (2, 2, 3, 3, 3)
    widths: Counts = (64, 128, 256, 512, 512)
    dense_width: Count = 4096
    dropout_rate: Rate = 0.5
    use_batch_norm: Flag = False
    dtype: DType = None
    remat: Flag = False

    @nn.compact
    def __call__(self, inputs, train):
        check_stages(depths=self.depths, widths=self.widths)
        self._check_size(*inputs.shape[1:3])
        x = inputs
        for depth, channels in zip(self.depths, self.widths, strict=True):
            block = VGGBlock(channels, depth, self.use_batch_norm, self.dtype)
            x = run_block(block, x, train, remat=self.remat)
        x = x.reshape(x.shape[0], -1)
        init = uniform(1 / math.sqrt(self.dense_width))
        for _ in range(2):
            x = nn.relu(nn.Dense(self.dense_width, kernel_init=init, dtype=self.dtype)(x))
            x = Dropout(self.dropout_rate, deterministic=not train)(x)
        return head(self.num_outputs, self.dtype)(x)

    def _check_size(self, height, width):
        smallest = 2 ** len(self.depths)
        if min(height, width) < smallest:
            raise UserError(
                f"VGG halves its images {len(self.depths)} times, so {height}x{width} pixels are "
                f"too few; give images of {smallest}x{smallest} pixels or more, or set fewer "
                "depths and widths."
            )


for _name, _depths in (("VGG16", (2, 2, 3, 3, 3)), ("VGG19", (2, 2, 4, 4, 4))):
    register_model(_name)(functools.partial(VGG, depths=_depths))
    register_model(f"{_name}BN")(functools.partial(VGG, depths=_depths, use_batch_norm=True))
