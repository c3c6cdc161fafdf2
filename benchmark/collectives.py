"""The collective operations of a compiled program."""

import re

# How the names of XLA's communicating operations begin. The end of an operation is not counted.
_BEGINNING = "all-|ragged-|collective-|reduce-scatter|send|recv"
_COLLECTIVE = re.compile(rf"= (.+?) ((?:{_BEGINNING})[a-z-]*?)(?:-start)?(?<!-done)\(")
_SHAPE = re.compile(r"\w+\[([\d,]*)\]")


def collectives(program: str) -> list[tuple[str, int]]:
    """Returns the collectives of a compiled program, each with the number of elements it moves.

    Args:
      program: its text, as returned by `compiled.as_text()`.
    """
    return [
        (match[2], sum(_size(shape[1]) for shape in _SHAPE.finditer(match[1])))
        for match in _COLLECTIVE.finditer(program)
    ]


def in_parameters(program: str, num_parameters: int) -> list[dict]:
    """Returns the collectives of a program; sizes are relative to the number of parameters."""
    return [
        {"kind": kind, "parameters": round(moved / num_parameters, 2)}
        for kind, moved in collectives(program)
    ]


def _size(shape):
    size = 1
    for side in filter(None, shape.split(",")):
        size *= int(side)
    return size
