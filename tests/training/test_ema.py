"""Moving averages: the closed form, and in a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.runs.metrics import read_metrics
from gnp.training.checkpoints.checkpoint_files import best_step
from gnp.training.checkpoints.saved_variables import average_variables, read_variables
from gnp.training.ema import update_ema
from tests.training.interruptions import DyingSource, PoisonedSource
from tests.training.toy import train_toy


def run(folder, source=None, **overrides):
    return train_toy(folder, source, ema_decay=0.9, **overrides)


def averages(values, decay, start):
    average = {"w": start}
    for count, value in enumerate(values, 1):
        average = update_ema(average, {"w": value}, decay=decay, count=jnp.int32(count))
        yield average["w"]


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.9999])
def test_it_is_the_weighted_mean_of_all_values_and_of_nothing_else(decay):
    values = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    for count, average in enumerate(averages(values, decay, start=jnp.full(4, 7.0)), 1):
        weights = decay ** np.arange(count)[::-1]
        expected = weights @ values[:count] / weights.sum()
        np.testing.assert_allclose(average, expected, rtol=2e-4, atol=1e-5)


def test_values_that_stay_are_their_own_average():
    for average in averages([jnp.float32(0.7)] * 50, 0.99, start=jnp.float32(0)):
        np.testing.assert_allclose(average, 0.7, rtol=1e-5)


def state_after(folder, step):
    return read_variables(folder / "checkpoints" / str(step))


def test_a_run_averages_its_parameters_and_statistics_over_the_steps(tmp_path):
    run(tmp_path, save_ckpt_every_n_steps=1, keep_latest_checkpoints=12)
    weights = 0.9 ** np.arange(12)[::-1]
    states = [state_after(tmp_path, step) for step in range(1, 13)]
    average = read_variables(tmp_path / "checkpoints" / "12", ema=True)
    expected = jax.tree.map(
        lambda *leaves: np.tensordot(weights, leaves, 1) / weights.sum(), *states
    )
    assert jax.tree.leaves(average["batch_stats"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), average, expected
    )


def test_training_itself_stays_the_same_to_the_bit(tmp_path):
    run(tmp_path / "with")
    train_toy(tmp_path / "without")
    jax.tree.map(
        np.testing.assert_array_equal,
        state_after(tmp_path / "with", 12),
        state_after(tmp_path / "without", 12),
    )


def test_it_is_evaluated_beside_the_parameters(tmp_path):
    run(tmp_path)
    (last,) = [
        m for m in read_metrics(tmp_path / "metrics.jsonl") if m["step"] == 12 and "eval/loss" in m
    ]
    assert last["eval_ema/num_images"] == last["eval/num_images"] == 21
    assert np.isfinite(last["eval_ema/loss"])
    assert last["eval_ema/loss"] != last["eval/loss"]


def test_the_best_checkpoint_may_be_that_of_the_average(tmp_path):
    run(tmp_path, best_metric="eval_ema/loss", keep_latest_checkpoints=3)
    losses = {
        m["step"]: m["eval_ema/loss"]
        for m in read_metrics(tmp_path / "metrics.jsonl")
        if "eval/loss" in m
    }
    best = best_step(tmp_path / "checkpoints", "eval_ema/loss")
    assert best == min(losses, key=losses.get)


def test_a_crashed_run_resumes_with_the_same_average(tmp_path):
    run(tmp_path / "whole")
    with pytest.raises(OSError, match="disk"):
        run(tmp_path / "crashed", DyingSource(before_batch=6))
    run(tmp_path / "crashed")
    for name in ("whole", "crashed"):
        assert (tmp_path / name / "checkpoints" / "12").is_dir()
    averages = [
        read_variables(tmp_path / name / "checkpoints" / "12", ema=True)
        for name in ("whole", "crashed")
    ]
    jax.tree.map(np.testing.assert_array_equal, *averages)
    metrics = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "crashed")]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_steps_that_are_skipped_do_not_count(tmp_path, policy):
    run(
        tmp_path,
        PoisonedSource(6),
        on_nonfinite=policy,
        save_ckpt_every_n_steps=1,
        keep_latest_checkpoints=12,
    )
    taken = [step for step in range(1, 13) if step != 6]
    weights = 0.9 ** np.arange(len(taken))[::-1]
    states = [state_after(tmp_path, step) for step in taken]
    average = read_variables(tmp_path / "checkpoints" / "12", ema=True)
    expected = jax.tree.map(
        lambda *leaves: np.tensordot(weights, leaves, 1) / weights.sum(), *states
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), average, expected
    )


def test_the_average_of_checkpoints_is_their_mean():
    rng = np.random.default_rng(0)
    trees = [
        {"a": rng.normal(size=3).astype(np.float32), "b": {"c": np.float32(i)}} for i in range(5)
    ]
    mean = average_variables(iter(trees))
    np.testing.assert_allclose(mean["a"], np.mean([t["a"] for t in trees], axis=0), rtol=1e-6)
    assert mean["b"]["c"] == 2
    assert mean["a"].dtype == np.float32
