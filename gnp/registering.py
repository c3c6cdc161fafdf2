"""What the decorators `register_...` do: a table of names is filled. Standard library only."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gnp.errors import UserError

Part = TypeVar("Part", bound=Callable[..., Any])

# Tables with the names that were put into them, in order.
_registered: list[tuple[dict[str, Any], str]] = []
# Those of a notebook or of Python's prompt, by kind and name.
_typed: set[tuple[str, str]] = set()


def registering(
    table: dict[str, Any],
    kind: str,
    name: str,
    as_entry: Callable[[Any], Any] = lambda part: part,
) -> Callable[[Part], Part]:
    """A decorator that puts what it is over into a table and returns it unchanged.

    What was typed into a notebook may be typed again, under the same name.

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
    if name in table and not (_is_typed() and (kind, name) in _typed):
        raise UserError(f"The {kind} {name!r} is registered already; choose another name.")

    def register(part):
        if not callable(part):
            raise UserError(
                f"What is registered as {kind} {name!r} is {part!r}; it must be a function or a "
                "class."
            )
        table[name] = as_entry(part)
        _registered.append((table, name))
        if _is_typed():
            _typed.add((kind, name))
        return part

    return register


@contextlib.contextmanager
def undone_if_it_fails() -> Iterator[None]:
    """Removes from all tables what is registered inside, if that raises something."""
    before = len(_registered)
    try:
        yield
    except BaseException:
        for table, name in _registered[before:]:
            table.pop(name, None)
        del _registered[before:]
        raise


def _is_typed():
    """Whether there is no program: a notebook, or Python's prompt."""
    return not hasattr(sys.modules["__main__"], "__file__")
