"""Penalties on the weights: L1, L2, both together (elastic net), group lasso.

    L1           s·Σ|w|
    L2           s·½·Σw²
    group lasso  s·Σ_g √|g|·‖w_g‖, or s·Σ_g ‖w_g‖        (Yuan and Lin, 2006; arXiv 1608.03665)

The strength s is chosen for each parameter by patterns of its path. Where |w| and ‖w_g‖ are zero,
0 is taken as their derivative.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from gnp.parameter_paths import first_matches
from gnp.regularization.epochs import Epochs
from gnp.regularization.weight_groups import WeightGroups

PyTree = Any


def l1(parameter: jax.Array) -> jax.Array:
    r"""Sum of the absolute values, :math:`\sum_i |w_i|`.

    >>> print(l1(jnp.array([3.0, -4.0])))
    7.0
    """
    # jnp.abs has the derivative 1 at 0.
    return jnp.sum(parameter * jnp.sign(parameter))


def l2(parameter: jax.Array) -> jax.Array:
    r"""Half the sum of the squares, :math:`\frac{1}{2} \sum_i w_i^2`.

    >>> print(l2(jnp.array([3.0, -4.0])))
    12.5
    """
    return 0.5 * jnp.sum(jnp.square(parameter))


def group_lasso(
    parameter: jax.Array, groups: WeightGroups, *, weighted_by_size: bool = True
) -> jax.Array:
    r"""The norms of all groups, weighted by their numbers of elements or not.

    :math:`\sum_g \sqrt{n_g} \, \|w_g\|`, or :math:`\sum_g \|w_g\|`.

    >>> matrix = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    >>> print(group_lasso(matrix, WeightGroups("rows"), weighted_by_size=False))
    5.0
    """
    norms = groups.norms(parameter)
    return jnp.sum(jnp.sqrt(groups.sizes(parameter)) * norms if weighted_by_size else norms)


@dataclasses.dataclass(frozen=True)
class WeightPenalty:
    """One of them on parameters chosen by their paths.

    >>> penalty = WeightPenalty(l2, rules=[("*/kernel", 0.1)])
    >>> params = {"dense": {"kernel": jnp.array([3.0, 4.0]), "bias": jnp.ones(1)}}
    >>> print(penalty(params))
    1.25

    Attributes:
      function: what a parameter costs, called with it and what its rule says after the strength.
      rules: `(pattern, strength, ...)`; the first that matches a path wins, the others stay free.
      epochs: when it is on.
      field: where the rules come from, for messages.
    """

    function: Callable[..., jax.Array]
    rules: Sequence[tuple]
    epochs: Epochs = dataclasses.field(default_factory=Epochs)
    field: str = "The penalty"

    def __call__(self, params: PyTree, epoch: int | jax.Array = 0) -> jax.Array:
        """The sum over the parameters of strength · function.

        >>> print(WeightPenalty(l2, penalty.rules, Epochs(first=5))(params, epoch=4))
        0.0

        Args:
          params: tree of arrays.
          epoch: from 0, perhaps traced.

        Raises:
          UserError: a pattern matches nothing, or a parameter has no groups of the kind asked for.
        """
        leaves = traverse_util.flatten_dict(params, sep="/")
        total = jnp.float32(0)
        for path, (strength, *rest) in first_matches(self.rules, leaves, self.field).items():
            for groups in rest:
                groups.check(path, leaves[path].shape)
            if strength:
                total += strength * self.function(leaves[path], *rest)
        return jnp.where(self.epochs.include(epoch), total, 0)
