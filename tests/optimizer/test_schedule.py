"""Learning-rate schedules against the golden values and the formulas."""

import json
import math
import pathlib

import numpy as np
import pytest

from gnp.errors import UserError
from gnp.optimizer.schedule import build_schedule, schedule_names

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
