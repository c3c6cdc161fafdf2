"""Times several contenders in rounds."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_rounds(
    contenders: Mapping[str, Callable[[int], float]], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Calls `steps_in_rounds` with as many steps as take about `seconds`."""
    steps = {name: max(1, round(seconds / run(1))) for name, run in contenders.items()}
    return steps_in_rounds(contenders, steps, rounds=rounds)


def steps_in_rounds(
    contenders: Mapping[str, Callable[[int], float]], steps: Mapping[str, int], *, rounds: int
) -> dict[str, list[float]]:
    """Returns the seconds per step of each contender in each round.

    Each round runs every contender once, so that other load on the machine affects all of them.
    Every other round runs them in reverse order.

    Args:
      contenders: name -> function that takes a number of steps and returns their seconds. It is
        compiled and warmed up.
      steps: number of steps of each contender in a round.
      rounds: number of rounds.
    """
    times = {name: [] for name in contenders}
    for index in range(rounds):
        order = list(contenders)[:: -1 if index % 2 else 1]
        for name in order:
            times[name].append(contenders[name](steps[name]) / steps[name])
    return times


def rate(run: Callable[[], object], seconds: float) -> float:
    """Returns the calls per second of a function, over about `seconds`, after one warmup call."""
    run()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        run()
        count += 1
    return count / elapsed


def rotated(names: Sequence[str], index: int) -> list[str]:
    """Returns the order of the names in round `index`: each name is first in turn."""
    first = index % len(names) if names else 0
    return [*names[first:], *names[:first]]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Returns median, minimum and maximum in milliseconds."""
    return spread([1e3 * x for x in seconds], "ms", digits=2)


def spread(values: Sequence[float], unit: str, digits: int = 1) -> dict[str, float]:
    """Returns median, minimum and maximum; their names end with the unit."""
    figures = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {f"{name}_{unit}": round(value, digits) for name, value in figures.items()}


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Returns the median of `ratios`."""
    return round(statistics.median(ratios(of, to)), 3)


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Returns the ratio of two contenders' figures in each round."""
    return [a / b for a, b in zip(of, to, strict=True)]
