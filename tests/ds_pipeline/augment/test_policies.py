"""Which operations are chosen, and how strong."""

import json
from pathlib import Path

import numpy as np
import pytest

from gnp.ds_pipeline import rng
from gnp.ds_pipeline.augment import policies, policy_tables

GOLDEN = Path(__file__).parents[2] / "golden"
LEVELS = json.loads((GOLDEN / "augment_levels.json").read_text())
PUBLISHED = json.loads((GOLDEN / "autoaugment_policies.json").read_text())


def uniforms(policy, count=4000):
    return rng.uniforms((rng.IMAGES, 0, 0), 0, count, policy.layers * policies.UNIFORMS_PER_LAYER)


@pytest.mark.parametrize(
    ("method", "pixels"),
    [
        ("autoaugment", policies._AUTOAUGMENT_PIXELS),
        ("randaugment", policies._RANDAUGMENT_PIXELS),
    ],
)
@pytest.mark.parametrize("operation", policies.OPERATIONS)
def test_levels(method, pixels, operation):
    for level, expected in LEVELS[method][operation].items():
        given = policies.argument(operation, int(level), pixels)
        assert given == pytest.approx(expected[0] if expected else 0.0)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_policies_are_the_published_ones(name):
    assert [[list(part) for part in sub] for sub in policy_tables.POLICIES[name]] == PUBLISHED[name]


def test_autoaugment_draws_sub_policies_uniformly_and_applies_by_probability():
    policy = policies.AutoAugment("svhn")
    chosen = policies.choose(policy, uniforms(policy, 20_000))["operations"]
    expected = np.zeros(policies.NO_OPERATION + 1)
    for sub in PUBLISHED["svhn"]:
        for name, probability, _ in sub:
            expected[policies.OPERATIONS.index(name)] += probability / 2 / len(PUBLISHED["svhn"])
    expected[policies.NO_OPERATION] = 1 - expected.sum()
    seen = np.bincount(chosen.ravel(), minlength=len(expected)) / chosen.size
    np.testing.assert_allclose(seen, expected, atol=0.01)


def test_autoaugment_keeps_the_pairs_together():
    policy = policies.AutoAugment("imagenet")
    chosen = policies.choose(policy, uniforms(policy))["operations"]
    pairs = {
        tuple(policies.OPERATIONS.index(name) for name, _, _ in sub)
        for sub in PUBLISHED["imagenet"]
    }
    both = (chosen != policies.NO_OPERATION).all(1)
    assert both.any()
    assert {tuple(pair) for pair in chosen[both].tolist()} <= pairs


def test_randaugment_applies_all_operations_alike_at_its_magnitude():
    policy = policies.RandAugment(layers=3, magnitude=9)
    chosen = policies.choose(policy, uniforms(policy, 20_000))
    counts = np.bincount(chosen["operations"].ravel(), minlength=16)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 16, atol=0.004)
    rotations = chosen["arguments"][chosen["operations"] == policies.OPERATIONS.index("Rotate")]
    assert set(rotations.round(3).tolist()) == {-27.0, 27.0}
    assert abs((rotations > 0).mean() - 0.5) < 0.05
    colors = chosen["arguments"][chosen["operations"] == policies.OPERATIONS.index("Color")]
    np.testing.assert_allclose(colors, 1.72, rtol=1e-6)


def test_trivialaugment_draws_every_strength():
    policy = policies.TrivialAugment()
    chosen = policies.choose(policy, uniforms(policy, 20_000))
    assert chosen["operations"].shape == (20_000, 1)
    assert len(np.unique(chosen["operations"])) == 14
    for name, low, high, levels in [
        ("Rotate", -135, 135, 61),
        ("Posterize", 2, 8, 7),
        ("Solarize", 0, 255, 31),
        ("Brightness", 0.01, 1.99, 61),
    ]:
        sampled = chosen["arguments"][chosen["operations"] == policies.OPERATIONS.index(name)]
        np.testing.assert_allclose([sampled.min(), sampled.max()], [low, high], rtol=1e-4)
        assert len(np.unique(sampled)) == levels
