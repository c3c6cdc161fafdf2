"""Which steps of an epoch are penalized, skipped, or fused into one program."""

import dataclasses
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import jax

from gnp.regularization.penalized_steps import PenalizedSteps

_log = logging.getLogger(__name__)


class StepBlock(NamedTuple):
    """Consecutive steps of one type, taken by one program: fused steps.

    Attributes:
      first: index of the first of them in the run, from 0.
      count: how many.
      is_penalized: whether they are penalized; else they are standard.
      is_skipped: whether they are not taken; such a step is a block of its own.
    """

    first: int
    count: int
    is_penalized: bool = False
    is_skipped: bool = False

    @property
    def steps(self) -> range:
        """The numbers of the steps, from 1."""
        return range(self.first + 1, self.first + self.count + 1)

    def has_multiple_of(self, steps: int) -> bool:
        """Whether one of the steps has a number that this divides."""
        return self.steps[-1] // steps > self.first // steps


@dataclasses.dataclass(frozen=True)
class StepSchedule:
    """What each step of a run is.

    Attributes:
      steps_per_epoch: steps in an epoch.
      steps_per_loop: how many steps are fused.
      penalized: which steps are penalized; None: none, standard training.
    """

    steps_per_epoch: int
    steps_per_loop: int = 1
    penalized: PenalizedSteps | None = None

    def blocks(
        self, key: jax.Array, first: int, epoch: int, skipped_steps: Collection[int] = ()
    ) -> list[StepBlock]:
        """The blocks of an epoch from a step on.

        Args:
          key: the run's random key, which decides the samples of hybrid training.
          first: index in the run, from 0, of the first step to take.
          epoch: from 0.
          skipped_steps: numbers, from 1, of steps that are not taken.
        """
        begin = epoch * self.steps_per_epoch
        if self.penalized is None:
            penalized = [False] * self.steps_per_epoch
        else:
            penalized = self.penalized.among(key, begin, begin + self.steps_per_epoch).tolist()
        return fuse_steps(penalized, begin, first, self.steps_per_loop, skipped_steps)


def fuse_steps(
    penalized: Sequence[bool],
    begin: int,
    first: int,
    steps_per_loop: int,
    skipped_steps: Collection[int] = (),
) -> list[StepBlock]:
    """Blocks of `steps_per_loop` steps of one type, all other steps one by one.

    Blocks begin at multiples of their length within the epoch whatever `first` is, so that a
    resumed run has the blocks of an uninterrupted one. Each type of step is compiled in two forms
    at most.

    Args:
      penalized: the type of each step of the epoch.
      begin: index in the run of the epoch's first step.
      first: index in the run of the first step to take.
      steps_per_loop: length of a block.
      skipped_steps: numbers, from 1, of steps that are blocks of their own and not taken.
    """
    blocks = []
    end = begin + len(penalized)
    while first < end:
        block = range(first, first + steps_per_loop)
        is_whole = (
            (first - begin) % steps_per_loop == 0
            and block.stop <= end
            and len(set(penalized[first - begin : block.stop - begin])) == 1
            and not any(index + 1 in skipped_steps for index in block)
        )
        count = steps_per_loop if is_whole else 1
        is_skipped = first + 1 in skipped_steps
        blocks.append(StepBlock(first, count, penalized[first - begin], is_skipped))
        first += count
    return blocks


def batches_of_blocks(batches: Iterable[Any], blocks: Iterable[StepBlock]) -> Iterator[list[Any]]:
    """The batches of each block."""
    batches = iter(batches)
    for block in blocks:
        yield list(islice(batches, block.count))
