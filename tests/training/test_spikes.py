"""Losses that stand out, and those that do not."""

import math

import numpy as np
import pytest

from gnp.training.monitoring.health import SpikeDetector


def spikes(losses, threshold=6.0, **kwargs):
    detector = SpikeDetector(threshold, **kwargs)
    found = [detector.add(float(loss)) for loss in losses]
    return {index: spike for index, spike in enumerate(found) if spike is not None}


def test_the_z_score_is_that_of_median_and_mad():
    """Losses 1 to 21 have the median 11 and the median distance 5 from it."""
    found = spikes([*range(1, 22), 70])
    assert list(found) == [21]
    assert found[21].median == 11
    assert found[21].z == pytest.approx((70 - 11) / (1.4826 * 5))
    assert not spikes([*range(1, 22), 11 + 5.9 * 1.4826 * 5])
    assert spikes([*range(1, 22), 11 + 6.1 * 1.4826 * 5])


def test_a_falling_noisy_loss_has_no_spikes():
    rng = np.random.default_rng(0)
    losses = 2.3 * np.exp(-np.arange(2000) / 300) + 0.2 * rng.normal(size=2000)
    assert not spikes(losses)


def test_a_spike_is_found_among_earlier_ones():
    losses = np.tile([0.9, 1.0, 1.1, 1.05], 25)
    losses[[40, 60, 61, 90]] = 8.0
    assert list(spikes(losses)) == [40, 60, 61, 90]


def test_a_loss_that_stays_high_is_no_spike_for_long():
    losses = np.repeat([1.0, 5.0], [100, 200]) + 0.1 * np.random.default_rng(0).normal(size=300)
    found = list(spikes(losses, window=100))
    assert found[0] == 100
    assert found[-1] < 155


def test_small_rises_and_the_first_losses_are_passed_over():
    assert not spikes([*[0.01] * 30, 0.1])
    assert not spikes([*[1.0, 1.1] * 9, 50.0])
    assert list(spikes([*[1.0] * 30, 1.2])) == [30]  # any rise stands out from equal losses


def test_a_loss_that_is_not_finite_is_passed_over():
    losses = [*np.linspace(1, 1.1, 40), math.nan, math.inf, 9.0]
    assert list(spikes(losses)) == [42]


def test_only_the_window_counts():
    rng = np.random.default_rng(1)
    losses = list(1 + 0.1 * rng.normal(size=300))
    losses[250] = 9.0
    assert spikes(losses, window=50)[250] == spikes(losses[200:], window=50)[50]
