"""Which steps of an epoch are sent to the devices together."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple


class Turn(NamedTuple):
    """Consecutive steps that are one program.

    Attributes:
      first: index of the first of them in the epoch.
      count: how many.
    """

    first: int
    count: int


def plan_turns(
    kinds: Sequence[Hashable], first: int, steps_per_loop: int, alone: Collection[int] = ()
) -> list[Turn]:
    """Turns of an epoch: blocks of `steps_per_loop` steps of one kind, all others one by one.

    Blocks begin at multiples of their length whatever `first` is, so that a run that goes on takes
    the turns of one that was not interrupted. Each kind of step is compiled in two forms at most.

    Args:
      kinds: the kind of each step of the epoch.
      first: index of the first step to take.
      steps_per_loop: length of a block.
      alone: indices of steps that must be turns of their own.
    """
    turns = []
    while first < len(kinds):
        block = range(first, first + steps_per_loop)
        is_whole = (
            first % steps_per_loop == 0
            and block.stop <= len(kinds)
            and len(set(kinds[first : block.stop])) == 1
            and not any(index in block for index in alone)
        )
        turns.append(Turn(first, steps_per_loop if is_whole else 1))
        first += turns[-1].count
    return turns


def batches_of_turns(batches: Iterable[Any], turns: Iterable[Turn]) -> Iterator[list[Any]]:
    """The batches of each turn."""
    batches = iter(batches)
    for turn in turns:
        yield list(islice(batches, turn.count))
