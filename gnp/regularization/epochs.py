"""Which epochs something is done in."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gnp.errors import UserError


class Epochs(NamedTuple):
    """Epochs from `first` on, up to but without `last`, each `every`-th of them; all by default.

    Attributes:
      first: counted from 0.
      last: None: to the end.
      every: 2: every other epoch, beginning with `first`.
    """

    first: int = 0
    last: int | None = None
    every: int = 1

    def include(self, epoch: int | jax.Array) -> bool | jax.Array:
        """Whether this epoch, perhaps traced, is one of them."""
        if self == Epochs():
            return True
        included = (epoch >= self.first) & ((epoch - self.first) % self.every == 0)
        return included if self.last is None else jnp.logical_and(included, epoch < self.last)

    def check(self, field: str) -> None:
        """Raises a UserError that names the field if there are no such epochs."""
        if self.first < 0 or self.every < 1 or (self.last is not None and self.last <= self.first):
            raise UserError(
                f"{field} has first_epoch {self.first}, last_epoch {self.last} and every_n_epochs "
                f"{self.every}; they must be 0 or more, more than first_epoch, and 1 or more."
            )
