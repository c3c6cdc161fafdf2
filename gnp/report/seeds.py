"""Statistics over seeds: mean, standard deviation, and paired differences with an interval."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from gnp.report.run_groups import Run

# Of the interval of a mean difference.
CONFIDENCE = 0.95
# An error that is this many times smaller or larger is also given as a factor.
_LARGE_FACTOR = 2.0


@dataclasses.dataclass(frozen=True)
class Sample:
    """A quantity with one value for each combination of seeds.

    Attributes:
      by_seeds: the values by the seeds of a run, at least one.
    """

    by_seeds: Mapping[Hashable, float]

    @property
    def num_seeds(self) -> int:
        return len(self.by_seeds)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.by_seeds.values())

    @property
    def standard_deviation(self) -> float | None:
        """That of the sample (n − 1 in the denominator); None with one seed."""
        return _standard_deviation(self.by_seeds.values()) if self.num_seeds > 1 else None

    def text(self, digits: str, deviation_digits: str | None = None) -> str:
        """Mean ± standard deviation; with one seed the mean alone.

        >>> Sample({0: 1.0, 1: 2.0}).text(".2f")
        '1.50 ± 0.71'

        Args:
          digits: the format of the mean.
          deviation_digits: that of the standard deviation, if it is another one.
        """
        deviation = self.standard_deviation
        if deviation is None:
            return f"{self.mean:{digits}}"
        return f"{self.mean:{digits}} ± {deviation:{deviation_digits or digits}}"


def sample(runs: Iterable[Run], quantity: Callable[[Run], float | None]) -> Sample | None:
    """A quantity of the runs that have it; None if no run has it.

    Runs with the same seeds count once, with their mean, because they are not independent.

    Args:
      runs: of one group.
      quantity: of a run; None where the run lacks it.
    """
    found: dict[Any, list[float]] = {}
    for run in runs:
        value = quantity(run)
        if value is not None:
            found.setdefault(run.seeds, []).append(value)
    means = {seeds: statistics.fmean(values) for seeds, values in found.items()}
    return Sample(means) if means else None


class Difference(NamedTuple):
    """Test errors of a group minus those of the reference, paired by their seeds, in points.

    Attributes:
      num_seeds: seeds that both have.
      num_lower: seeds with a lower error in the group.
      num_higher: seeds with a higher error in the group.
      mean: mean difference; None without a common seed.
      margin: half the width of its 95 % interval; None with fewer than two seeds.
      reference_error: mean error of the reference over the common seeds, in percent.
      error: the same of the group.
    """

    num_seeds: int
    num_lower: int = 0
    num_higher: int = 0
    mean: float | None = None
    margin: float | None = None
    reference_error: float | None = None
    error: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean difference; None with fewer than two seeds."""
        return None if self.margin is None else (self.mean - self.margin, self.mean + self.margin)

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.margin is not None and abs(self.mean) > self.margin

    @property
    def factor(self) -> float | None:
        """How many times fewer errors the group makes (below 1: more); None if undefined."""
        return self.reference_error / self.error if self.error and self.reference_error else None

    @property
    def verdict(self) -> str:
        """What the seeds say, in words."""
        if not self.num_seeds:
            return "no common seed: not compared"
        if not math.isfinite(self.mean):
            return "not compared: an error is not a number"
        if self.num_seeds == 1:
            return f"{_direction(self.mean)}; one seed: no interval{self._ratio()}"
        if not self.is_clear:
            spread = f"{_number(self.mean, self.margin, sign='+')} ± {_number(self.margin)} points"
            return f"no difference can be told ({spread} over {self.num_seeds} seeds)"
        side, count = ("lower", self.num_lower) if self.mean < 0 else ("higher", self.num_higher)
        by = f"{_number(abs(self.mean), self.margin)} ± {_number(self.margin)} points"
        return f"{side} in {count} of {self.num_seeds} seeds, by {by}{self._ratio()}"

    @property
    def size(self) -> str:
        """The change of the error in words: as a factor where that is large, else in points."""
        return self._factor_in_words() or f"{_number(abs(self.mean), self.margin)} points"

    def _ratio(self):
        """The two errors, where the factor between them is large."""
        words = self._factor_in_words()
        change = f"{percent(self.reference_error)} → {percent(self.error)}"
        return f"; {change} ({words})" if words else ""

    def _factor_in_words(self):
        if self.error == 0 < self.reference_error:
            return "no errors left"
        factor = self.factor or 1.0
        if max(factor, 1 / factor) < _LARGE_FACTOR:
            return ""
        times, what = (factor, "fewer") if factor > 1 else (1 / factor, "more")
        return f"{times:.{0 if times >= 10 else 1}f} times {what} errors"


def paired_difference(errors: Sample, reference: Sample) -> Difference:
    """The differences over the seeds that two samples of errors (%) share.

    The interval is mean ± t·s/√n with Student's t of n − 1 degrees of freedom. It holds for one
    comparison whose differences are normally distributed.
    """
    common = [seeds for seeds in errors.by_seeds if seeds in reference.by_seeds]
    if not common:
        return Difference(0)
    differences = [errors.by_seeds[seeds] - reference.by_seeds[seeds] for seeds in common]
    count = len(differences)
    margin = None
    if count > 1:
        margin = t_quantile(count - 1) * _standard_deviation(differences) / math.sqrt(count)
    return Difference(
        num_seeds=count,
        num_lower=sum(d < 0 for d in differences),
        num_higher=sum(d > 0 for d in differences),
        mean=statistics.fmean(differences),
        margin=margin,
        reference_error=statistics.fmean(reference.by_seeds[seeds] for seeds in common),
        error=statistics.fmean(errors.by_seeds[seeds] for seeds in common),
    )


def t_quantile(degrees_of_freedom: int, confidence: float = CONFIDENCE) -> float:
    """The number t with P(|T| ≤ t) = confidence for Student's distribution."""
    from scipy.special import stdtrit  # imported late: only reports need it

    return float(stdtrit(degrees_of_freedom, (1 + confidence) / 2))


def _standard_deviation(values):
    """As `statistics.stdev`, which fails where a value is not finite."""
    mean = statistics.fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _direction(mean):
    if mean == 0:
        return "the same"
    return f"{_number(abs(mean))} points {'lower' if mean < 0 else 'higher'}"


def _number(value, precision=None, sign=""):
    """One decimal where the precision (or the value) is 1 or more, else two."""
    scale = abs(value) if precision is None else precision
    return f"{value:{sign}.{1 if scale >= 0.95 else 2}f}"


def percent(value: float) -> str:
    """An error in percent, as sentences have it."""
    return f"{value:.{1 if value >= 1 else 2}f} %"
