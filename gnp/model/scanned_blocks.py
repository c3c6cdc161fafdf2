"""A stack of equal blocks, unrolled or scanned, with or without rematerialization."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

_SCANNED = "scanned"


class BlockStack(nn.Module):
    """A sequence of blocks of one class, called as `block(x, drop_path_rate, train)`.

    Attributes:
      block: class of the blocks.
      fields: fields of the constructor, the same for all blocks.
      drop_path_rates: rate of stochastic depth of each block.
      scan: scan over the blocks, with stacked parameters (see `stack_params`).
      remat: recompute each block in the backward pass instead of storing its results.
    """

    block: type[nn.Module]
    fields: Mapping
    drop_path_rates: Sequence[float]
    scan: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, x, train):
        if self.scan:
            return self._scanned(x, train)
        block = nn.remat(self.block, static_argnums=(2, 3)) if self.remat else self.block
        for index, rate in enumerate(self.drop_path_rates):
            x = block(**self.fields, name=str(index))(x, rate, train)
        return x

    def _scanned(self, x, train):
        drops = any(self.drop_path_rates)

        def apply(block, x, rate):
            return block(x, rate if drops else 0.0, train), None

        if self.remat:
            apply = nn.remat(apply, prevent_cse=False)
        scan = nn.scan(
            apply,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True, "drop_path": True},
        )
        block = self.block(**self.fields, name=_SCANNED)
        return scan(block, x, jnp.asarray(self.drop_path_rates))[0]


def is_stacked(params: Mapping) -> bool:
    """Whether parameters are those of scanned blocks."""
    if not isinstance(params, Mapping):
        return False
    return _SCANNED in params or any(map(is_stacked, params.values()))


def stack_params(params: Mapping) -> dict:
    """Converts parameters of unrolled blocks to those of scanned blocks.

    Args:
      params: the parameters of a model without `scan_layers`.

    Returns:
      The parameters of the same model with `scan_layers`, stacked along a new first axis.
    """
    if not isinstance(params, Mapping):
        return params
    if "0" not in params:
        return {name: stack_params(value) for name, value in params.items()}
    blocks = [params[str(index)] for index in range(len(params))]
    return {_SCANNED: jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)}


def unstack_params(params: Mapping) -> dict:
    """The inverse of `stack_params`."""
    if not isinstance(params, Mapping):
        return params
    if _SCANNED not in params:
        return {name: unstack_params(value) for name, value in params.items()}
    blocks = params[_SCANNED]
    depth = len(jax.tree.leaves(blocks)[0])
    return {str(i): jax.tree.map(lambda leaf: leaf[i], blocks) for i in range(depth)}


def in_plain_layers(model: nn.Module, params: Mapping) -> tuple[nn.Module, Mapping]:
    """The same model with every layer a module of its own, and its parameters."""
    switched_on = [name for name in ("scan_layers", "remat") if getattr(model, name, False)]
    if "scan_layers" in switched_on:
        params = unstack_params(params)
    return model.clone(**dict.fromkeys(switched_on, False)), params
