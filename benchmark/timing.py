"""Timing several contenders in turns."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_turns(
    contenders: Mapping[str, Callable[[int], float]], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """`take_turns` with turns that take about so many seconds."""
    steps = {name: max(1, round(seconds / run(1))) for name, run in contenders.items()}
    return take_turns(contenders, steps, rounds=rounds)


def take_turns(
    contenders: Mapping[str, Callable[[int], float]], steps: Mapping[str, int], *, rounds: int
) -> dict[str, list[float]]:
    """Seconds per step of each contender, one figure for each round.

    In a round each has its turn, so that what else the machine does meets all of them alike. Every
    other round goes backwards through them.

    Args:
      contenders: name -> a function that takes so many steps and returns the seconds they took;
        compiled and warmed up already.
      steps: of a turn of each.
      rounds: number of turns of each.
    """
    times = {name: [] for name in contenders}
    for index in range(rounds):
        order = list(contenders)[:: -1 if index % 2 else 1]
        for name in order:
            times[name].append(contenders[name](steps[name]) / steps[name])
    return times


def rate(run: Callable[[], object], seconds: float) -> float:
    """How often per second something runs, in about so many seconds after a first time."""
    run()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        run()
        count += 1
    return count / elapsed


def rotated(names: Sequence[str], index: int) -> list[str]:
    """The order of a round in which each is the first once in as many rounds as there are names."""
    first = index % len(names) if names else 0
    return [*names[first:], *names[:first]]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest, in milliseconds."""
    return spread([1e3 * x for x in seconds], "ms", digits=2)


def spread(values: Sequence[float], unit: str, digits: int = 1) -> dict[str, float]:
    """Median, smallest and largest, by names that end with the unit."""
    figures = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {f"{name}_{unit}": round(value, digits) for name, value in figures.items()}


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Median over the rounds of one contender's figure over another's in the same round."""
    return round(statistics.median(ratios(of, to)), 3)


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """One contender's figure over another's in the same round, for each round."""
    return [a / b for a, b in zip(of, to, strict=True)]
