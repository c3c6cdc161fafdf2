"""The step at which overfitting starts, on curves made for it."""

import math

import numpy as np
import pytest

from gnp.report.overfitting import find_overfitting

STEPS_PER_EVALUATION = 10


def lines(train, validation):
    """The metrics of a run: ten steps with the training loss of each evaluation, then it."""
    step = 0
    for train_loss, validation_loss in zip(train, validation, strict=True):
        for index in range(STEPS_PER_EVALUATION):
            step += 1
            yield {"step": step, "train/loss": train_loss + 0.1 * (-1) ** index}
        yield {"step": step, "eval/loss": validation_loss, "eval/error_rate": 0.1}


def overfitting(train, validation):
    return find_overfitting([*lines(train, validation)])


def noise(size, scale, seed=0):
    return np.random.default_rng(seed).normal(size=size, scale=scale)


t = np.arange(30) / 30
FALLING = np.exp(-4 * t)
VALLEY = 0.5 + (t - 0.4) ** 2  # lowest at the 13th evaluation, step 130


def test_overfitting_starts_at_the_lowest_validation_loss():
    found = overfitting(FALLING, VALLEY)
    assert found.step == 130
    assert found.validation_loss == pytest.approx(0.5, abs=0.01)
    assert found.later_validation_loss == pytest.approx(np.median(VALLEY[-8:]))
    assert found.train_loss == pytest.approx(FALLING[11], rel=0.2)
    assert found.later_train_loss == pytest.approx(np.median(FALLING[-8:]))


@pytest.mark.parametrize("seed", range(10))
def test_noise_moves_the_step_a_little(seed):
    found = overfitting(FALLING, VALLEY + noise(30, 0.01, seed))
    assert 80 <= found.step <= 180


def test_one_wild_evaluation_does_not_hide_it():
    validation = VALLEY.copy()
    validation[3], validation[25] = 0.1, 9.0
    assert overfitting(FALLING, validation).step == 130


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("shape", ["falls", "levels off", "levels off, noisy"])
def test_a_healthy_run_does_not_overfit(shape, seed):
    validation = {
        "falls": 0.2 + FALLING + noise(30, 0.01, seed),
        "levels off": 0.2 + np.exp(-20 * t),
        "levels off, noisy": 0.2 + np.exp(-20 * t) + noise(30, 0.01, seed),
    }[shape]
    assert overfitting(FALLING, validation) is None


def test_one_bad_evaluation_is_no_overfitting():
    validation = 0.2 + np.exp(-20 * t) + noise(30, 0.01)
    validation[-3] = 5.0
    assert overfitting(FALLING, validation) is None


def test_training_that_gets_worse_too_is_no_overfitting():
    assert overfitting(VALLEY, VALLEY) is None


@pytest.mark.parametrize("evaluations", range(10))
def test_a_run_that_is_too_short_shows_no_overfitting(evaluations):
    rising = np.linspace(0.5, 2.0, 30)
    found = overfitting(FALLING[:evaluations], rising[:evaluations])
    assert (found is None) == (evaluations < 8)


def test_an_increase_at_the_very_end_is_too_short():
    assert overfitting(FALLING[:16], VALLEY[:16]) is None
    assert overfitting(FALLING[:20], VALLEY[:20]).step == 130


def test_losses_that_are_not_finite_are_skipped():
    validation = VALLEY.copy()
    validation[[5, 20]] = math.nan, math.inf
    metrics = [{"step": 1, "train/loss": math.nan}, *lines(FALLING, validation)]
    assert find_overfitting(metrics).step == 130


def test_a_run_may_record_few_steps_or_none():
    every_evaluation = [
        {"step": 10 * i, **loss}
        for i, (train, validation) in enumerate(zip(FALLING, VALLEY, strict=True), 1)
        for loss in ({"train/loss": train}, {"eval/loss": validation})
    ]
    assert find_overfitting(every_evaluation).step == 130
    assert find_overfitting([line for line in every_evaluation if "eval/loss" in line]) is None
    assert find_overfitting([]) is None
