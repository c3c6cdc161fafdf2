"""Which steps are standard ones: their compiled program makes one pass."""

import functools

import jax
import pytest

from gnp.optimizer.build import build_optimizer
from gnp.training import step_programs
from gnp.training.state import create_state
from gnp.training.step_programs import StepPrograms
from tests.training.toy import ToyModel, ToySource, toy_settings, train_toy

STEPS_PER_EPOCH = 4
MODEL = ToyModel(use_batch_norm=False, hidden=256)


@functools.cache
def flops(step):
    """Floating-point operations of the program that a step compiles to."""
    optimizer = build_optimizer("Momentum", {})
    state = create_state(MODEL, optimizer, image_shape=(2, 2, 1), init_seed=0, seed=0)
    batch = next(ToySource().train_batches(0))
    batch = {k: v.reshape(4, -1, *v.shape[1:]) for k, v in batch.items()}
    return step.lower(state, None, batch).compile().cost_analysis()["flops"]


def program_and_passes(epoch, index, **overrides):
    """What takes a step of an epoch, and how many passes it says that it makes."""
    settings = toy_settings(**overrides)
    programs = StepPrograms(settings, MODEL, STEPS_PER_EPOCH, lambda data, batch: batch)
    schedule = settings.step_schedule(STEPS_PER_EPOCH)
    blocks = schedule.blocks(jax.random.PRNGKey(0), epoch * STEPS_PER_EPOCH, epoch)
    return programs.program(blocks[index]), programs.passes(blocks[index])


def passes(epoch, index, **overrides):
    return round(flops(program_and_passes(epoch, index, **overrides)[0]) / one_pass(), 1)


@functools.cache
def one_pass():
    return flops(program_and_passes(0, 0, **{"gnp.r": 0.0})[0])


@pytest.mark.parametrize(
    ("form", "number"),
    [({"gnp.r": 0.0}, 1), ({}, 2), ({"gnp.ascent_steps": 2}, 3), ({"gnp.mode": "exact"}, 2)],
)
def test_a_step_makes_as_many_passes_as_are_told(form, number):
    assert program_and_passes(0, 0, **form)[1] == number
    assert round(passes(0, 0, **form)) == number


def test_penalized_step_makes_two_passes():
    assert passes(0, 0) == 2


@pytest.mark.parametrize(
    "nothing_asked",
    [
        {"gnp.r": 0.0},
        {"gnp.alpha": 0.0},
        {"gr_warmup_strategy": "zero", "warmup_epochs": 1},
        {"gr_warmup_strategy": "zero", "gnp.warmup_steps": 3},
        {"use_hybrid_training": True, "hybrid_config.p": 0.0},
        {"gnp.every": 2},
    ],
)
def test_step_of_which_nothing_is_asked_makes_one_pass(nothing_asked):
    assert passes(0, 1, **nothing_asked) == 1


def test_penalty_follows_the_zero_warmup():
    zero = {"gr_warmup_strategy": "zero", "warmup_epochs": 1}
    assert [passes(epoch, 0, **zero) for epoch in (0, 1)] == [1, 2]


def test_warmup_of_the_penalty_may_be_set_apart():
    own = {"gr_warmup_strategy": "zero", "warmup_epochs": 2, "gnp.warmup_epochs": 0.5}
    assert [passes(0, index, **own) for index in range(4)] == [1, 1, 2, 2]


def test_hybrid_samples_are_those_of_the_key():
    settings = toy_settings(use_hybrid_training=True, **{"hybrid_config.p": 0.5})
    schedule = settings.step_schedule(32)
    samples = [
        [block.is_penalized for block in schedule.blocks(jax.random.PRNGKey(seed), 32, 1)]
        for seed in (0, 0, 1)
    ]
    assert samples[0] == samples[1] != samples[2]
    assert set(samples[0]) == {True, False}


ONE_PASS = {"gnp.ascent": "momentum", "gnp.alpha": 1.0}


@pytest.mark.usefixtures("_compile_fast")
@pytest.mark.parametrize(
    ("fields", "types"),
    [
        (ONE_PASS, [True]),
        ({"gnp.r": 0.0}, [False]),
        (ONE_PASS | {"gnp.when.last_epoch": 1}, [True, False]),
    ],
    ids=["one pass", "standard", "both"],
)
def test_a_run_compiles_no_step_that_it_does_not_take(tmp_path, monkeypatch, fields, types):
    make = step_programs.make_train_step
    traced = []

    def watched(*arguments, is_penalized, **options):
        step = make(*arguments, is_penalized=is_penalized, **options)

        def watched_step(state, batch):
            traced.append(is_penalized)
            return step(state, batch)

        return watched_step

    monkeypatch.setattr(step_programs, "make_train_step", watched)
    train_toy(tmp_path, total_epochs=2, **fields)
    assert traced == types
