"""Checks of the values of model fields.

A field is annotated with its kind, as in `depth: Count = 28`. Fields without a kind are not
checked.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax.numpy as jnp
from flax import linen as nn

from gnp.errors import UserError


@dataclasses.dataclass(frozen=True)
class Kind:
    """The valid values of a field.

    Attributes:
      expected: description of the valid values.
      accepts: whether a value is valid.
    """

    expected: str
    accepts: Callable[[Any], bool]


def whole(least: int) -> Any:
    """The annotation of a field for whole numbers of at least `least`."""
    expected = f"a whole number of at least {least}"
    return Annotated[int, Kind(expected, lambda x: _is_whole(x, least))]


def _is_whole(value, least, most=math.inf):
    is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_number and least <= value <= most


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _are_counts(values, most=math.inf):
    is_list = isinstance(values, Sequence) and len(values) > 0
    return is_list and all(_is_whole(value, 1, most) for value in values)


def _is_floating_type(value):
    try:
        return value is None or jnp.issubdtype(jnp.dtype(value), jnp.floating)
    except TypeError:
        return False


Count = whole(1)
OptionalCount = Annotated[
    int | None, Kind("a whole number of at least 1 or None", lambda x: x is None or _is_whole(x, 1))
]
Counts = Annotated[Sequence[int], Kind("a list of whole numbers of at least 1", _are_counts)]
# Layers are traced one by one; with more it would take many minutes before anything is said.
_MOST_LAYERS = 2000
Depth = Annotated[
    int,
    Kind(f"a whole number from 1 to {_MOST_LAYERS}", lambda x: _is_whole(x, 1, _MOST_LAYERS)),
]
Depths = Annotated[
    Sequence[int],
    Kind(
        f"a list of whole numbers from 1 to {_MOST_LAYERS}", lambda x: _are_counts(x, _MOST_LAYERS)
    ),
]
Rate = Annotated[
    float, Kind("a number of at least 0 and below 1", lambda x: _is_real(x) and 0 <= x < 1)
]
Positive = Annotated[float, Kind("a number above 0", lambda x: _is_real(x) and x > 0)]
Flag = Annotated[bool, Kind("True or False", lambda x: x in (True, False))]
PatchSize = Annotated[
    int | Sequence[int],
    Kind(
        "a whole number of pixels, or a list of two, height and width",
        lambda x: _is_whole(x, 1) or (_are_counts(x) and len(x) == 2),
    ),
]
DType = Annotated[
    Any, Kind("a floating-point type, such as 'bfloat16', or None", _is_floating_type)
]


def check_fields(name: str, model: nn.Module) -> None:
    """Checks all fields of a model that are annotated with a kind.

    Args:
      name: of the model, for the message.
      model: any module.

    Raises:
      UserError: a field has an invalid value.
    """
    kinds = {field.name: field.type for field in dataclasses.fields(model)}
    check_values(name, kinds, {field: getattr(model, field) for field in kinds})


def check_values(
    name: str, kinds: Mapping[str, Any], values: Mapping[str, Any], prefix: str = ""
) -> None:
    """Checks values against the annotations of their fields.

    Args:
      name: of the model, for the message.
      kinds: annotation of each field.
      values: of some of the fields.
      prefix: of the fields' names in the message.

    Raises:
      UserError: a value is invalid.
    """
    for field, value in values.items():
        for kind in getattr(kinds[field], "__metadata__", ()):
            if isinstance(kind, Kind) and not kind.accepts(value):
                raise UserError(
                    f"{prefix}{field} of model {name} is {value!r}; it must be {kind.expected}."
                )


def check_stages(**fields: Sequence[int]) -> None:
    """Raises a UserError unless all fields have the same number of entries, one per stage."""
    if len(set(map(len, fields.values()))) > 1:
        given = " and ".join(f"{field} {tuple(values)}" for field, values in fields.items())
        raise UserError(f"{given} do not fit together; give one number per stage in both.")
