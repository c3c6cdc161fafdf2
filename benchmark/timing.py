"""Timing several contenders in turns, and what they ran on."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Callable, Mapping

import jax

_PACKAGES = ("jax", "flax", "optax")


def in_turns(
    contenders: Mapping[str, Callable[[int], float]], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds per step of each contender, one figure for each round.

    In a round each has its turn, so that what else the machine does meets all of them alike. Every
    other round goes backwards through them.

    Args:
      contenders: name -> a function that takes so many steps and returns the seconds they took;
        compiled and warmed up already.
      rounds: number of turns of each.
      seconds: time that a turn takes, about.
    """
    steps = {name: max(1, round(seconds / run(1))) for name, run in contenders.items()}
    times = {name: [] for name in contenders}
    for index in range(rounds):
        order = list(contenders)[:: -1 if index % 2 else 1]
        for name in order:
            times[name].append(contenders[name](steps[name]) / steps[name])
    return times


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, smallest and largest, in milliseconds."""
    return {
        "median_ms": round(1e3 * statistics.median(seconds), 2),
        "min_ms": round(1e3 * min(seconds), 2),
        "max_ms": round(1e3 * max(seconds), 2),
    }


def ratio(of: list[float], to: list[float]) -> float:
    """Median over the rounds of one contender's time over another's in the same round."""
    return round(statistics.median(a / b for a, b in zip(of, to, strict=True)), 3)


def machine() -> dict:
    """Hardware and versions, for each line of results."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }
