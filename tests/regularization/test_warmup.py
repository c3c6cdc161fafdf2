"""Warmups of the penalty, and which steps are penalized."""

import json
import pathlib

import jax
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.regularization.penalized_steps import PenalizedSteps, probability_schedule
from gnp.regularization.warmup import penalty_warmup

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden/schedules.json").read_text())
WARMUP = GOLDEN["penalty_warmup"]
WARMUP_STEPS = WARMUP["warmup_epochs"] * GOLDEN["steps_per_epoch"]
KEY = jax.random.PRNGKey(0)


def values(schedule):
    return [float(schedule(step)) for step in range(len(WARMUP["values"]))]


def test_r_warmup_is_golden():
    penalty = penalty_warmup("r", r=WARMUP["base"], alpha=0.8, warmup_steps=WARMUP_STEPS)
    np.testing.assert_allclose(values(penalty.r), WARMUP["values"], rtol=1e-6)
    np.testing.assert_allclose(values(penalty.alpha), 0.8)


def test_lambda_warmup_is_golden():
    penalty = penalty_warmup("lambda", r=0.2, alpha=WARMUP["base"], warmup_steps=WARMUP_STEPS)
    np.testing.assert_allclose(values(penalty.alpha), WARMUP["values"], rtol=1e-6)
    np.testing.assert_allclose(values(penalty.r), 0.2)


def test_zero_warmup_is_standard_training_first():
    penalty = penalty_warmup("zero", r=0.2, alpha=0.8, warmup_steps=5)
    np.testing.assert_allclose([penalty.r(s) for s in (0, 4, 5, 6)], [0, 0, 0.2, 0.2])


@pytest.mark.parametrize("strategy", ["none", "r", "lambda", "zero"])
def test_no_warmup_steps_switch_every_warmup_off(strategy):
    penalty = penalty_warmup(strategy, r=0.2, alpha=0.8, warmup_steps=0)
    assert (penalty.r(0), penalty.alpha(0)) == (0.2, 0.8)


def test_unknown_warmup_is_refused():
    with pytest.raises(UserError, match=r"'lamda'; known: lambda, "):
        penalty_warmup("lamda", r=0.1, alpha=0.8, warmup_steps=1)


def test_steps_before_the_start_and_between_are_standard():
    assert PenalizedSteps(start=3).among(KEY, 0, 8).tolist() == [False] * 3 + [True] * 5
    assert np.flatnonzero(PenalizedSteps(every=4).among(KEY, 10, 20)).tolist() == [2, 6]


def test_hybrid_draws_depend_on_key_and_step_alone():
    half = probability_schedule("constant", p=0.5, p_end=0.0, total_steps=1)
    all_at_once = PenalizedSteps(probability=half).among(KEY, 0, 40)
    in_parts = [PenalizedSteps(probability=half).among(KEY, i, i + 10) for i in range(0, 40, 10)]
    np.testing.assert_array_equal(all_at_once, np.concatenate(in_parts))
    other = PenalizedSteps(probability=half).among(jax.random.PRNGKey(1), 0, 40)
    assert not np.array_equal(all_at_once, other)


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0)])
def test_hybrid_penalizes_the_share_it_is_told(p, share):
    schedule = probability_schedule("constant", p=p, p_end=0.0, total_steps=1)
    penalized = PenalizedSteps(probability=schedule).among(KEY, 0, 4000)
    np.testing.assert_allclose(penalized.mean(), share, atol=0.025)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_probability_goes_from_p_to_p_end(name):
    schedule = probability_schedule(name, p=0.2, p_end=0.8, total_steps=100)
    ends = [float(schedule(step)) for step in (0, 50, 100)]
    np.testing.assert_allclose(ends, [0.2, 0.5, 0.8], rtol=1e-6)


def test_bad_probabilities_are_refused():
    with pytest.raises(UserError, match=r"'linar'; known: linear, "):
        probability_schedule("linar", p=0.1, p_end=0.2, total_steps=1)
    with pytest.raises(UserError, match=r"0 to 1, not 1\.5"):
        probability_schedule("constant", p=1.5, p_end=0.0, total_steps=1)
