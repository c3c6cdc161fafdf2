"""Groups of the elements of a parameter, which are penalized, or become zero, together.

Kernels of convolutions are height x width x inputs x outputs, matrices are inputs x outputs.
"""

import dataclasses

import jax
import jax.numpy as jnp

from gnp.errors import UserError, unknown_name
from gnp.regularization import tree

# Name -> dimensions of the parameters that it is for (None: any), and the axes within a group
# (None: all).
_KINDS = {
    "elements": (None, ()),
    "layers": (None, None),
    "kernels": (4, (0, 1)),
    "filters": (4, (0, 1, 2)),
    "channels": (4, (0, 1, 3)),
    "rows": (2, (1,)),
    "columns": (2, (0,)),
    "blocks": (2, (1, 3)),  # of the matrix cut into a grid
}


def group_names() -> list[str]:
    """The kinds of groups."""
    return list(_KINDS)


@dataclasses.dataclass(frozen=True)
class WeightGroups:
    """A division of a parameter into groups.

    >>> groups, matrix = WeightGroups("columns"), jnp.array([[3.0, 0.0], [4.0, 1.0]])
    >>> print(groups.norms(matrix))
    [[5. 1.]]

    Attributes:
      kind: `elements`: each is its own group; `layers`: the whole parameter is one; of a
        convolution `kernels` (2-D, one input to one output), `filters` (3-D, all that leads to one
        output), `channels` (3-D, all that one input leads to); of a matrix `rows` (one input),
        `columns` (one output) or `blocks`.
      block_shape: rows and columns of a block; those at the edges may be smaller.
    """

    kind: str
    block_shape: tuple[int, int] = (4, 4)

    def __post_init__(self):
        if self.kind not in _KINDS:
            raise unknown_name("kind of groups", self.kind, _KINDS)

    def check(self, path: str, shape: tuple[int, ...]) -> None:
        """Raises a UserError if a parameter of this shape has no such groups."""
        dimensions = _KINDS[self.kind][0]
        if dimensions not in (None, len(shape)):
            what = {4: "the kernel of a convolution", 2: "a matrix"}[dimensions]
            raise UserError(
                f"Groups of the kind {self.kind!r} need {what}, of {dimensions} dimensions, but "
                f"{path} has the shape {shape}; choose a pattern that leaves it out."
            )

    def norms(self, parameter: jax.Array) -> jax.Array:
        r"""The norm :math:`\|w_g\|` of each group; its derivative is 0 where it is 0.

        It is in float32 or finer.

        >>> print(WeightGroups("rows").norms(jnp.array([[3.0, 4.0], [0.0, 1.0]])).tolist())
        [[5.0], [1.0]]
        """
        precise = parameter.astype(jnp.promote_types(parameter.dtype, jnp.float32))
        return tree.safe_sqrt(self._sum(jnp.square(precise)))

    def sizes(self, parameter: jax.Array) -> jax.Array:
        """The number of elements of each group, likewise.

        >>> print(groups.sizes(matrix))
        [[2. 2.]]
        """
        return self._sum(jnp.ones(parameter.shape))

    def spread(self, per_group: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """What holds for each group, from `norms` on, said of each element of the parameter.

        >>> print(groups.spread(groups.norms(matrix), matrix.shape).tolist())
        [[5.0, 1.0], [5.0, 1.0]]
        """
        if self.kind != "blocks":
            return jnp.broadcast_to(per_group, shape)
        grid = jnp.broadcast_to(per_group, self._grid_shape(shape))
        rows, columns = grid.shape[0] * grid.shape[1], grid.shape[2] * grid.shape[3]
        return grid.reshape(rows, columns)[: shape[0], : shape[1]]

    def _sum(self, parameter):
        if self.kind == "blocks":
            grid = self._grid_shape(parameter.shape)
            sides = (grid[0] * grid[1], grid[2] * grid[3])
            missing = [(0, side - n) for side, n in zip(sides, parameter.shape, strict=True)]
            parameter = jnp.pad(parameter, missing).reshape(grid)
        return jnp.sum(parameter, axis=_KINDS[self.kind][1], keepdims=True)

    def _grid_shape(self, shape):
        (height, width), (rows, columns) = self.block_shape, shape
        return (-(-rows // height), height, -(-columns // width), width)
