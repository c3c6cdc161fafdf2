"""What the decorators `register_...` do: a table of names is filled. Standard library only."""

from collections.abc import Callable
from typing import Any, TypeVar

from gnp.errors import UserError

Part = TypeVar("Part", bound=Callable[..., Any])


def registering(
    table: dict[str, Any],
    kind: str,
    name: str,
    as_entry: Callable[[Any], Any] = lambda part: part,
) -> Callable[[Part], Part]:
    """A decorator that puts what it is over into a table and returns it unchanged.

    Args:
      table: by name.
      kind: what is registered, for messages, such as "loss".
      name: under which.
      as_entry: what the table holds of it.

    Raises:
      UserError: the name is no text or is in the table already; or, when the decorator is called,
        what it is over is not callable.
    """
    if not isinstance(name, str) or not name:
        raise UserError(
            f"The name that register_{kind} got is {name!r}; it must be a text, such as "
            f"@register_{kind}('NAME')."
        )
    if name in table:
        raise UserError(f"The {kind} {name!r} is registered already; choose another name.")

    def register(part):
        if not callable(part):
            raise UserError(
                f"What is registered as {kind} {name!r} is {part!r}; it must be a function or a "
                "class."
            )
        table[name] = as_entry(part)
        return part

    return register
