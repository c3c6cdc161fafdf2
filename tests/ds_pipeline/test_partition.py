"""Who sees which image, whatever the numbers of images, processes and steps."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import base
from gnp.ds_pipeline import partition, rng, settings
from gnp.ds_pipeline.loaders.sampler import Plan
from gnp.errors import UserError


def make_plan(
    *, num_train=20, num_eval=7, batch_size=4, process=(0, 1), seed=0, batch_level="none"
):
    config = base.get_config()
    config.seeds = seed
    config.batch_size = batch_size
    config.dataset.update(image_size=8, cutout_length=3)
    config.dataset.batch_level_augmentations = batch_level
    return Plan(settings.from_config(config, *process), num_train, num_eval)


def assert_parts_make_up(whole, parts):
    jax.tree.map(lambda x, *xs: np.testing.assert_array_equal(x, np.concatenate(xs)), whole, *parts)


sizes = st.tuples(st.integers(1, 3), st.integers(1, 4))  # images per process, processes


@given(sizes=sizes, num_eval=st.integers(1, 30))
def test_evaluation_covers_every_image_once(sizes, num_eval):
    per_process, count = sizes
    seen, lengths = [], set()
    for process in range(count):
        plan = make_plan(
            num_eval=num_eval, batch_size=per_process * count, process=(process, count)
        )
        steps = list(plan.eval_steps())
        lengths.add(len(steps))
        for step in steps:
            assert len(step["index"]) == per_process
            seen += step["index"][step["mask"] == 1].tolist()
    assert sorted(seen) == list(range(num_eval))
    assert len(lengths) == 1


@given(sizes=sizes, num_train=st.integers(12, 40), epoch=st.integers(0, 3))
def test_processes_share_the_global_batch(sizes, num_train, epoch):
    per_process, count = sizes
    batch_size = per_process * count
    whole = list(make_plan(num_train=num_train, batch_size=batch_size).train_steps(epoch))
    parts = [
        list(
            make_plan(
                num_train=num_train, batch_size=batch_size, process=(process, count)
            ).train_steps(epoch)
        )
        for process in range(count)
    ]
    assert len(whole) == num_train // batch_size
    for step, shares in zip(whole, zip(*parts, strict=True), strict=True):
        assert_parts_make_up(step, shares)
    indices = np.concatenate([step["own"]["index"] for step in whole])
    assert len(set(indices.tolist())) == len(indices)


@given(sizes=sizes, level=st.sampled_from(["mixup", "cutmix", "mixcut", "cutout"]))
def test_partners_are_the_reversed_global_batch(sizes, level):
    per_process, count = sizes
    batch_size = per_process * count
    whole = next(make_plan(batch_size=batch_size, batch_level=level).train_steps(0))
    parts = [
        next(
            make_plan(
                batch_size=batch_size, process=(process, count), batch_level=level
            ).train_steps(0)
        )
        for process in range(count)
    ]
    assert_parts_make_up(whole, parts)
    if level != "cutout":
        for key, values in whole["partner"].items():
            np.testing.assert_array_equal(values, whole["own"][key][::-1])


@given(first_step=st.integers(0, 5))
def test_resuming_an_epoch_yields_the_same_steps(first_step):
    plan = make_plan(batch_level="mixcut")
    resumed = list(plan.train_steps(2, first_step))
    for step, again in zip(list(plan.train_steps(2))[first_step:], resumed, strict=True):
        assert_parts_make_up(step, [again])


def test_epochs_and_seeds_differ():
    orders = [
        np.concatenate(
            [s["own"]["index"] for s in make_plan(seed=seed).train_steps(epoch)]
        ).tolist()
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@given(start=st.integers(0, 50), count=st.integers(1, 20), width=st.integers(1, 9))
def test_draws_are_addressed_by_position(start, count, width):
    whole = rng.uniforms((rng.IMAGES, 3, 1), 0, start + count, width)
    part = rng.uniforms((rng.IMAGES, 3, 1), start, count, width)
    np.testing.assert_array_equal(whole[start:], part)


def test_draws_are_uniform():
    numbers = rng.uniforms((rng.IMAGES, 0, 0), 0, 20_000, 3)
    assert numbers.dtype == np.float32
    assert 0 <= numbers.min() < numbers.max() < 1
    np.testing.assert_allclose(numbers.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(numbers.var(0), 1 / 12, atol=0.002)
    np.testing.assert_allclose(np.corrcoef(numbers.T), np.eye(3), atol=0.03)


@given(labels=st.lists(st.integers(0, 4), min_size=5, max_size=200))
def test_hold_out_is_stratified(labels):
    labels = np.array(labels)
    kept, held = partition.hold_out(labels)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert abs(len(held) - len(labels) / 10) <= 0.5
    for label in range(5):
        assert abs((labels[held] == label).sum() - (labels == label).sum() / 10) <= 1


def test_hold_out_is_shuffled_within_a_class():
    _, held = partition.hold_out(np.zeros(1000, np.int64))
    assert held.min() < 50
    assert held.max() > 950
    assert len(set(np.diff(held).tolist())) > 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 6, "process": (0, 4)}, "does not divide over 4 processes"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_size": 21}, "batch_size is 21, but the training set has only 20 images"),
    ],
)
def test_batch_sizes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        make_plan(**arguments)
