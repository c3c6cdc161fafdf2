"""Models that compile in a moment, registered the way users register theirs."""

from flax import linen as nn

from gnp.model import register_model


@register_model("SmallDropoutNet")
class SmallDropoutNet(nn.Module):
    """All that a run must get right to resume: batch statistics and random numbers."""

    num_outputs: int

    @nn.compact
    def __call__(self, inputs, train):
        x = _features(inputs, train, width=8)
        x = nn.Dropout(0.3, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(self.num_outputs)(x)


@register_model("NetToLookInto")
class NetToLookInto(nn.Module):
    """A convolution, batch norm, ReLU and two dense layers."""

    num_outputs: int

    @nn.compact
    def __call__(self, inputs, train):
        x = _features(inputs, train, width=4)
        x = nn.relu(nn.Dense(8)(x.mean(axis=(1, 2))))
        return nn.Dense(self.num_outputs)(x)


def _features(images, train, width):
    x = nn.Conv(width, (3, 3), strides=2)(images)
    return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))


@register_model("SmoothNet")
class SmoothNet(nn.Module):
    """Batch norm, and nothing with a kink at which a rounding error could decide."""

    num_outputs: int

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Conv(8, (3, 3), strides=2)(inputs)
        x = nn.gelu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.gelu(nn.Conv(8, (3, 3))(x))
        return nn.Dense(self.num_outputs)(x.reshape(len(x), -1))
