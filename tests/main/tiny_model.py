"""A model that compiles in a moment, registered the way users register theirs."""

from flax import linen as nn

from gnp.model.registry import register_model


@register_model("NetToLookInto")
class NetToLookInto(nn.Module):
    """A convolution, batch norm, ReLU and two dense layers."""

    num_outputs: int

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Conv(4, (3, 3), strides=2)(inputs)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.relu(nn.Dense(8)(x.mean(axis=(1, 2))))
        return nn.Dense(self.num_outputs)(x)
