"""Statistics over seeds, with numbers worked out by hand."""

import math

import numpy as np
import pytest

from gnp.report.run_groups import Run
from gnp.report.seeds import Sample, paired_difference, sample, t_quantile


@pytest.mark.parametrize(
    ("degrees_of_freedom", "expected"),
    # From printed tables of Student's distribution, two-sided 95 %.
    [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)],
)
def test_quantiles_are_those_of_the_tables(degrees_of_freedom, expected):
    assert t_quantile(degrees_of_freedom) == pytest.approx(expected, abs=5e-4)


def errors(*values):
    return Sample({(seed, seed): value for seed, value in enumerate(values)})


def test_the_interval_is_that_of_the_paired_differences():
    # Differences −1, −2, −3: mean −2, standard deviation 1, margin 4.303 · 1 / √3 = 2.484.
    found = paired_difference(errors(9.0, 18.0, 27.0), errors(10.0, 20.0, 30.0))
    assert found.mean == pytest.approx(-2)
    assert found.margin == pytest.approx(2.484, abs=1e-3)
    assert found.interval == pytest.approx((-4.484, 0.484), abs=1e-3)
    assert (found.num_seeds, found.num_lower, found.num_higher) == (3, 3, 0)
    # Unpaired, the standard error would be √(9²/3 + 10²/3) = 7.77.


def test_only_common_seeds_are_compared():
    group = Sample({(0, 0): 1.0, (1, 1): 2.0, (5, 5): 100.0})
    reference = Sample({(1, 1): 4.0, (0, 0): 3.5, (7, 7): 0.0})
    found = paired_difference(group, reference)
    assert (found.num_seeds, found.mean) == (2, pytest.approx(-2.25))
    assert (found.reference_error, found.error) == (3.75, 1.5)
    assert paired_difference(errors(1.0), Sample({(9, 9): 1.0})).verdict == (
        "no common seed: not compared"
    )


@pytest.mark.parametrize(
    ("group", "reference", "verdict"),
    [
        # Differences −26, −27, −25, −26, −27: deviation 0.837, margin 2.776 · 0.837 / √5 = 1.039.
        (
            (1.0, 1.0, 2.0, 1.5, 0.5),
            (27.0, 28.0, 27.0, 27.5, 27.5),
            "lower in 5 of 5 seeds, by 26.2 ± 1.0 points; 27.4 % → 1.2 % (23 times fewer errors)",
        ),
        # The same the other way round.
        (
            (27.0, 28.0, 27.0, 27.5, 27.5),
            (1.0, 1.0, 2.0, 1.5, 0.5),
            "higher in 5 of 5 seeds, by 26.2 ± 1.0 points; 1.2 % → 27.4 % (23 times more errors)",
        ),
        # Differences −2, −2.1, −1.9 of 20: margin 4.303 · 0.1 / √3 = 0.248; no large factor.
        ((18.0, 17.9, 18.1), (20.0, 20.0, 20.0), "lower in 3 of 3 seeds, by 2.00 ± 0.25 points"),
        # Differences −1, −2, −3: the margin 2.484 is wider than the mean.
        (
            (9.0, 8.0, 7.0),
            (10.0, 10.0, 10.0),
            "no difference can be told (-2.0 ± 2.5 points over 3 seeds)",
        ),
        ((5.0,), (20.0,), "15.0 points lower; one seed: no interval; 20.0 % → 5.0 % (4.0 times"),
        ((19.8,), (20.0,), "0.20 points lower; one seed: no interval"),
        ((20.0,), (20.0,), "the same; one seed: no interval"),
        (
            (2.0, 2.0, 2.0),
            (2.0, 2.0, 2.0),
            "no difference can be told (+0.00 ± 0.00 points over 3 seeds)",
        ),
        (
            (0.0, 0.0, 0.0),
            (3.0, 4.0, 3.5),
            "lower in 3 of 3 seeds, by 3.5 ± 1.2 points; 3.5 % → 0.00 % (no errors left)",
        ),
        ((math.nan, 1.0), (2.0, 2.0), "not compared: an error is not a number"),
        ((math.inf, math.inf), (2.0, 2.0), "not compared: an error is not a number"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(group, reference, verdict):
    found = paired_difference(errors(*group), errors(*reference)).verdict
    assert found.startswith(verdict)
    assert found == verdict or verdict.endswith("times")


def test_the_interval_covers_a_true_difference_in_19_of_20_experiments():
    noise = np.random.default_rng(0).normal(size=(2000, 5))
    found = [paired_difference(errors(*row), errors(0, 0, 0, 0, 0)) for row in noise]
    assert sum(f.is_clear for f in found) / 2000 == pytest.approx(0.05, abs=0.015)


def test_a_sample_has_one_value_for_each_pair_of_seeds():
    def run(seed, error, init_seed=0):
        config = {"init_seeds": init_seed, "seeds": seed}
        return Run(config, {"final": {"eval/error_rate": error}}, [])

    def error(run):
        return run.summary["final"]["eval/error_rate"]

    found = sample([run(0, 1.0), run(0, 3.0), run(1, 4.0), run(0, 6.0, init_seed=1)], error)
    assert found.by_seeds == {(0, 0, 0): 2.0, (0, 1, 0): 4.0, (1, 0, 0): 6.0}
    assert (found.mean, found.standard_deviation) == (4.0, 2.0)
    assert sample([run(0, 1.0)], error).standard_deviation is None
    assert sample([run(0, None)], error) is None
    assert math.isnan(sample([run(0, math.nan), run(1, 1.0)], error).standard_deviation)
