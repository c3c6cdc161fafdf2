"""Frozen parameters: their bits stay, and nothing else looks at them."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from gnp.errors import UserError
from gnp.runs.metrics import read_metrics
from gnp.training.checkpoints.saved_variables import read_newest_variables
from gnp.training.freeze import merged, split, split_like
from tests.training.toy import ToyModel, ToySource, toy_settings, train_toy

SHAPE = (2, 2, 1)
BACKBONE = ("Dense_0/*", "BatchNorm_0/*")


def flat(tree):
    return traverse_util.flatten_dict(jax.device_get(tree), sep="/")


def bits(tree):
    return {path: np.asarray(leaf).tobytes() for path, leaf in flat(tree).items()}


def initial(**fields):
    return toy_settings(**fields).initial_state(ToyModel(), SHAPE)


def test_a_split_can_be_undone():
    params = {"a": {"kernel": 1, "bias": 2}, "b": 3}
    trained, frozen = split(params, ("a/k*", "b"))
    assert (trained, frozen) == ({"a": {"bias": 2}}, {"a": {"kernel": 1}, "b": 3})
    assert merged(trained, frozen) == params
    assert split_like(params, frozen) == (trained, frozen)
    assert split(params, ()) == (params, None)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            ("Dense_7/*",),
            r"^opt\.freeze has the pattern 'Dense_7/\*', which matches nothing; there",
        ),
        ((1,), r"^opt\.freeze has 1; a pattern is a text such as '\*/kernel'\."),
        (("*",), r"^opt\.freeze is \('\*',\), which matches all parameters"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused(patterns, message):
    with pytest.raises(UserError, match=message):
        initial(**{"opt.freeze": patterns})


@pytest.mark.parametrize(
    "fields",
    [
        {"opt.opt_type": "SGD", "l2_regularization": 0.1},
        {"opt.opt_type": "AdamW", "ema_decay": 0.9},
        {"gnp.ascent": "momentum", "gnp.alpha": 1.0, "ema_decay": 0.9},
        {"gnp.ascent": "random", "gnp.bn_policy": "both"},
        {"gnp.mode": "exact", "opt.opt_type": "RMSProp"},
    ],
)
def test_frozen_parameters_and_statistics_keep_their_bits(tmp_path, fields):
    fields = fields | {"opt.freeze": BACKBONE, "total_epochs": 2}
    before = initial(**fields)
    train_toy(tmp_path / "run", **fields)
    kinds = [False, True] if "ema_decay" in fields else [False]
    for ema in kinds:
        after = read_newest_variables(tmp_path / "run", ema=ema)
        ours, theirs = bits(after["params"]), bits(before.all_params)
        changed = {path for path in theirs if ours[path] != theirs[path]}
        assert changed == {"Dense_1/kernel", "Dense_1/bias"}
        assert bits(after["batch_stats"]) == bits(before.batch_stats)
    lines = [m for m in read_metrics(tmp_path / "run" / "metrics.jsonl") if "train/loss" in m]
    head = read_newest_variables(tmp_path / "run")["params"]["Dense_1"]
    np.testing.assert_allclose(lines[-1]["train/parameter_norm"], optax.tree.norm(head), rtol=1e-5)


def test_without_freezing_all_of_it_changes(tmp_path):
    train_toy(tmp_path / "run", total_epochs=1)
    after, before = read_newest_variables(tmp_path / "run"), initial()
    ours, theirs = bits(after), bits(before.variables)
    assert not [path for path in theirs if ours[path] == theirs[path]]


def test_a_run_with_frozen_parameters_resumes(tmp_path):
    fields = {"opt.freeze": BACKBONE, "opt.opt_type": "AdamW"}
    train_toy(tmp_path / "whole", **fields)
    train_toy(tmp_path / "parts", **fields)
    newest = sorted((tmp_path / "parts" / "checkpoints").iterdir(), key=lambda p: int(p.name))[-1]
    newest.rename(tmp_path / "away")
    train_toy(tmp_path / "parts", **fields)
    whole, parts = (read_newest_variables(tmp_path / name) for name in ("whole", "parts"))
    assert bits(whole) == bits(parts)


def test_a_frozen_batch_norm_is_trained_behind_as_it_is_evaluated():
    """Its running statistics are used, else the head is trained on other features."""
    settings = toy_settings(**{"opt.freeze": BACKBONE, "l2_regularization": 0.0})
    state = settings.initial_state(ToyModel(), SHAPE)
    state = state.replace(batch_stats=jax.tree.map(lambda x: x + 0.7, state.batch_stats))
    batch = next(iter(ToySource().train_batches(0)))
    objective = settings.loss.objective(ToyModel(), steps_per_epoch=4)
    loss, aux = objective(state.params, state.batch_stats, batch, {}, frozen=state.frozen)
    logits = ToyModel().apply(state.variables, batch["image"], train=False)
    expected = optax.softmax_cross_entropy(logits, batch["label"]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert bits(aux["batch_stats"]) == bits(state.batch_stats)
    thawed, _ = objective(state.all_params, state.batch_stats, batch, {})
    assert abs(thawed - expected) > 1e-3


def test_a_batch_norm_of_which_a_part_is_trained_is_not_frozen():
    settings = toy_settings(**{"opt.freeze": ("Dense_0/*", "BatchNorm_0/scale")})
    state = settings.initial_state(ToyModel(), SHAPE)
    batch = next(iter(ToySource().train_batches(0)))
    objective = settings.loss.objective(ToyModel(), steps_per_epoch=4)
    _, aux = objective(state.params, state.batch_stats, batch, {}, frozen=state.frozen)
    assert bits(aux["batch_stats"]) != bits(state.batch_stats)


def test_neither_the_l2_term_nor_the_optimizer_knows_them():
    fields = {"opt.freeze": BACKBONE, "l2_regularization": 1.0, "opt.opt_type": "AdamW"}
    state = initial(**fields)
    sizes = {leaf.size for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim}
    assert sizes == {24, 3}  # of the head
    objective = toy_settings(**fields).loss.objective(ToyModel(), steps_per_epoch=4)
    batch = next(iter(ToySource().train_batches(0)))
    large = jax.tree.map(lambda x: 3 * jnp.ones_like(x), state.frozen)
    loss, aux = objective(state.params, state.batch_stats, batch, {}, frozen=large)
    np.testing.assert_allclose(
        loss - aux["loss"], 0.5 * optax.tree.norm(state.params, squared=True), rtol=1e-4
    )


def test_the_log_counts_them(caplog):
    with caplog.at_level(logging.INFO, logger="gnp"):
        initial(**{"opt.freeze": BACKBONE})
    assert "opt.freeze: 4 of 6 parameters (56 of 83 numbers) are frozen." in caplog.text


def test_evaluation_sees_the_whole_model():
    state = initial(**{"opt.freeze": BACKBONE})
    assert state.variables["params"].keys() == {"Dense_0", "BatchNorm_0", "Dense_1"}
    again = state.with_variables(state.variables)
    assert bits(again.frozen) == bits(state.frozen)
    assert bits(again.params) == bits(state.params)
