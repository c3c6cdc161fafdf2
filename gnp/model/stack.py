"""A stack of equal blocks: unrolled, or one scan over them; with or without rematerialization."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.model.transformer import drop_path_rates

_SCANNED = "scanned"


class BlockStack(nn.Module):
    """Blocks of one class in a row, called as `block(x, drop_path_rate, train)`.

    Attributes:
      block: the class of the blocks.
      fields: the constructor's fields, the same for all blocks.
      depth: number of blocks.
      drop_path: rate of stochastic depth at the last block, rising evenly from 0 at the first.
      scan: one scan over the blocks; their parameters are stacked (see `stack_params`).
      remat: compute each block again in the backward pass instead of keeping its results.
    """

    block: type[nn.Module]
    fields: Mapping
    depth: int
    drop_path: float = 0.0
    scan: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, x, train):
        rates = drop_path_rates(self.drop_path, self.depth)
        if self.scan:
            return self._scanned(x, rates, train)
        block = nn.remat(self.block, static_argnums=(3,)) if self.remat else self.block
        for index, rate in enumerate(rates):
            x = block(**self.fields, name=str(index))(x, rate, train)
        return x

    def _scanned(self, x, rates, train):
        def apply(block, x, rate):
            return block(x, rate, train), None

        if self.remat:
            apply = nn.remat(apply, prevent_cse=False)
        scan = nn.scan(
            apply,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True, "drop_path": True},
            length=self.depth,
        )
        rates = None if rates[0] is None else rates
        return scan(self.block(**self.fields, name=_SCANNED), x, rates)[0]


def stack_params(params: Mapping) -> dict:
    """The parameters of unrolled blocks as those of scanned ones.

    Args:
      params: the parameters of a model without `scan_layers`.

    Returns:
      Those of the same model with `scan_layers`: block after block along a new first axis.
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
