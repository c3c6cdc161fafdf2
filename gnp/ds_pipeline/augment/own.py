"""A registered augmentation, with checks of what it returns. Imports neither tensorflow nor jax."""

import dataclasses
from collections.abc import Callable
from typing import Any

from gnp.errors import UserError, reason


@dataclasses.dataclass(frozen=True)
class OwnAugmentation:
    """A function under `register_augmentation`.

    Attributes:
      name: for messages.
      function: of a library and arrays, see `gnp.ds_pipeline.augment.levels.register_augmentation`.
      num_uniforms: random numbers that it takes.
      num_kept: arrays that it returns: the first of those that it gets.
    """

    name: str
    function: Callable[..., Any]
    num_uniforms: int
    num_kept: int

    def __call__(self, xp: Any, *arrays: Any) -> Any:
        """The augmented images; or images and labels.

        Raises:
          UserError: the function fails, or changes their number, shape or type.
        """
        try:
            found = self.function(xp, *arrays)
            kinds = [_kind(array) for array in (found if isinstance(found, tuple) else (found,))]
        except UserError:
            raise
        except Exception as error:  # whatever a user's function does
            raise UserError(
                f"The augmentation {self.name} fails ({type(error).__name__}: {reason(error)}); it "
                f"must do with arrays of {xp.__name__}."
            ) from error
        wanted = [_kind(array) for array in arrays[: self.num_kept]]
        if kinds != wanted:
            raise UserError(
                f"The augmentation {self.name} returns {_as_text(kinds)} for {_as_text(wanted)}; "
                "it must keep number, shape and type."
            )
        return found


def _kind(array):
    return tuple(array.shape), getattr(array.dtype, "name", str(array.dtype))


def _as_text(kinds):
    return " and ".join(f"{dtype} of {'x'.join(map(str, shape))}" for shape, dtype in kinds)
