"""A model that the command line can name, with all that a run must get right to go on."""

import flax.linen as nn

from gnp.model import register_model


@register_model("SmallDropoutNet")
class SmallDropoutNet(nn.Module):
    """One convolution with batch norm, and dropout."""

    num_outputs: int

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Conv(8, (3, 3), strides=2)(inputs)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.Dropout(0.3, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(self.num_outputs)(x)
