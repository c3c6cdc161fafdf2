"""Learning-rate schedules against the golden values and the formulas."""

import json
import math
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.optimizer.schedule import build_schedule, register_schedule, schedule_names
from tests import registries

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden/schedules.json").read_text())


def build(name, warmup_epochs):
    return build_schedule(
        name,
        base_lr=GOLDEN["base_lr"],
        total_epochs=GOLDEN["epochs"],
        warmup_epochs=warmup_epochs,
        steps_per_epoch=GOLDEN["steps_per_epoch"],
        milestones=((4, 0.1), (8, 0.01)),
    )


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_golden(case):
    name, warmup = case.split("/warmup")
    schedule = build(name, int(warmup))
    golden = GOLDEN["cases"][case]
    computed = [float(schedule(step)) for step in range(len(golden))]
    np.testing.assert_allclose(computed, golden, rtol=1e-6, atol=1e-8)


def test_every_schedule_has_golden_values():
    assert set(schedule_names()) == {case.split("/")[0] for case in GOLDEN["cases"]}


def test_exponential_ends_at_1_2_percent():
    schedule = build("exponential", 0)
    end = schedule(GOLDEN["epochs"] * GOLDEN["steps_per_epoch"])
    assert math.isclose(end, 0.012 * GOLDEN["base_lr"], rel_tol=1e-6)


def test_a_milestone_counts_from_the_second_step_of_its_epoch_on():
    schedule, steps = build("stepped", 0), GOLDEN["steps_per_epoch"]
    rates = [float(schedule(step)) / GOLDEN["base_lr"] for step in range(12 * steps)]
    for epoch, before, factor in ((4, 1.0, 0.1), (8, 0.1, 0.01)):
        first = epoch * steps
        np.testing.assert_allclose(rates[first : first + 3], [before, factor, factor], rtol=1e-6)


def test_unknown_schedule_lists_the_nearest_first():
    with pytest.raises(UserError, match=r"'cosin'; known: cosine, "):
        build("cosin", 0)


def test_stepped_without_milestones_says_what_is_missing():
    with pytest.raises(UserError, match="lr_stepped_schedule"):
        build_schedule("stepped", base_lr=1.0, total_epochs=1, warmup_epochs=0, steps_per_epoch=1)


@pytest.fixture
def _own_table(monkeypatch):
    registries.forget_after(monkeypatch)


def own(function, warmup_epochs=0):
    """The first rates of a registered schedule of ten steps, two in an epoch."""
    register_schedule("own")(function)
    schedule = build_schedule(
        "own",
        base_lr=2.0,
        total_epochs=5,
        warmup_epochs=warmup_epochs,
        steps_per_epoch=2,
        milestones=((3, 0.5),),
    )
    return [float(schedule(step)) for step in range(6)]


@pytest.mark.usefixtures("_own_table")
def test_a_schedule_of_ones_own():
    np.testing.assert_allclose(own(falling), [2 - 0.2 * step for step in range(6)], rtol=1e-6)
    assert "own" in schedule_names()


@pytest.mark.usefixtures("_own_table")
@pytest.mark.parametrize("takes_it", [False, True])
def test_the_warmup_of_a_schedule_of_ones_own(takes_it):
    def without(base_lr, total_steps, warmup_steps):
        assert (total_steps, warmup_steps) == (10, 4)
        return falling(base_lr, total_steps)

    factors = np.ones(6) if takes_it else np.array([0, 0.25, 0.5, 0.75, 1, 1])
    expected = factors * [2 - 0.2 * step for step in range(6)]
    np.testing.assert_allclose(own(without if takes_it else falling, 2), expected, rtol=1e-6)


@pytest.mark.usefixtures("_own_table")
def test_a_schedule_of_ones_own_takes_what_it_names():
    def stepped(steps_per_epoch, milestones, more=3):
        assert (steps_per_epoch, milestones, more) == (2, ((3, 0.5),), 3)
        return lambda step: 0.5

    assert own(stepped) == [0.5] * 6


def falling(base_lr, total_steps):
    return lambda step: base_lr * (1 - step / total_steps)


BAD = {
    "a text": (lambda base_lr: lambda step: "fast", r"fails \(TypeError: "),
    "a list": (lambda base_lr: lambda step: jnp.ones(2), r"returns float32 of the shape \(2,\) fo"),
    "nothing": (lambda base_lr: lambda step: None, "returns None for a step; it must return one r"),
    "no function": (lambda base_lr: 0.1, r"fails \(TypeError: "),
    "if": (
        lambda base_lr: lambda step: 0.1 if step < 3 else 0.2,
        r"fails \(TracerBoolConversionError: .*; it is traced by JAX, so use jnp\.where instead of",
    ),
    "more": (lambda base_lr, gamma: None, r"fails \(TypeError: .*'gamma'\); it is traced"),
}


@pytest.mark.usefixtures("_own_table")
@pytest.mark.parametrize("kind", BAD)
def test_a_schedule_that_cannot_be_used_is_one_sentence(kind):
    function, sentence = BAD[kind]
    with pytest.raises(UserError, match="^The schedule own " + sentence) as error:
        own(function)
    assert "\n" not in str(error.value)


def test_a_schedule_is_registered_once():
    with pytest.raises(UserError, match=r"^The schedule 'cosine' is registered already; choose a"):
        register_schedule("cosine")(falling)
