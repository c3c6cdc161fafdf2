"""A registered loss: in training, evaluation and the penalty; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gnp.diagnostics.dataset_loss import WholeSet
from gnp.errors import UserError
from gnp.main.start.own_parts import try_parts
from gnp.optimizer.optimizers import register_optimizer
from gnp.runs.metrics import read_metrics
from gnp.training import loss as losses
from gnp.training.checkpoints.saved_variables import read_newest_variables
from gnp.training.loss import register_loss
from tests import registries
from tests.training.toy import ToyModel, ToySource, toy_config, toy_settings, train_toy


@pytest.fixture(autouse=True)
def _own_tables(monkeypatch):
    registries.forget_after(monkeypatch)


def brier(logits, labels):
    return jnp.sum((jax.nn.softmax(logits) - labels) ** 2, axis=-1)


def test_training_and_evaluation_use_it(tmp_path):
    register_loss("brier")(brier)
    train_toy(tmp_path / "run", loss="brier", label_smoothing=0.1)
    (*_, last) = [m for m in read_metrics(tmp_path / "run/metrics.jsonl") if "eval/loss" in m]
    variables = read_newest_variables(tmp_path / "run")
    found = WholeSet(ToyModel(), ToySource(), label_smoothing=0.1, image_loss=brier)
    expected, _ = found.loss_and_error(variables["params"], variables["batch_stats"])
    assert last["eval/loss"] == pytest.approx(expected, rel=1e-5)

    settings = toy_settings(loss="brier", l2_regularization=0.0)
    batch = next(iter(ToySource().train_batches(0)))
    state = settings.initial_state(ToyModel(), (2, 2, 1))
    objective = settings.loss.objective(ToyModel(), steps_per_epoch=4)
    loss, aux = objective(state.params, state.batch_stats, batch, {})
    logits, _ = ToyModel().apply(state.variables, batch["image"], train=True, mutable="batch_stats")
    np.testing.assert_allclose(loss, brier(logits, batch["label"]).mean(), rtol=1e-6)
    assert aux["loss"] == loss


def test_the_same_loss_by_another_name_trains_alike(tmp_path):
    """The penalty is of the registered loss, too."""
    register_loss("mine")(lambda logits, labels: losses.cross_entropy(logits, labels))
    for name in ("mine", "cross_entropy"):
        train_toy(tmp_path / name, loss=name, label_smoothing=0.1)
    mine, theirs = (tmp_path / name / "metrics.jsonl" for name in ("mine", "cross_entropy"))
    assert mine.read_text() == theirs.read_text()


def test_logits_of_half_precision_are_widened():
    register_loss("narrow")(lambda logits, labels: logits.sum(-1))
    found = losses.loss_named("narrow")(jnp.ones((2, 3), jnp.bfloat16), jnp.ones((2, 3)))
    assert found.dtype == jnp.float32


def keep(updates, state, params=None):
    return updates, state


LOSSES = {
    "mean": (lambda logits, labels: jnp.mean(logits), r"returns float32 of the shape \(\) for 2"),
    "matrix": (lambda logits, labels: logits, r"returns float32 of the shape \(2, 3\) for 2 im"),
    "none": (lambda logits, labels: None, r"returns None for 2 images; it must return one real"),
    "whole": (lambda logits, labels: jnp.argmax(logits, -1), r"returns int32 of the shape \(2,\)"),
    "one": (lambda logits: logits, r"fails \(.*TypeError: .*; fix it, or name another\.$"),
    "fails": (
        lambda logits, labels: labels["a"],
        r"fails \(test_own_loss\.py line \d+, \w+Error: .*; fix it, or name another\.$",
    ),
}
OPTIMIZERS = {
    "no init": (optax.GradientTransformation(None, keep), r"fails \(.*TypeError: .*; fix it, or"),
    "no updates": (
        optax.GradientTransformation(lambda params: (), lambda *given: (None, ())),
        "returns updates of another structure, other shapes or other types than it got",
    ),
    "a state that grows": (
        optax.GradientTransformation(lambda params: (), lambda u, s, p: (u, (*s, u))),
        "returns a state of another structure, other shapes or other types than it got",
    ),
    "more arguments": (optax.polyak_sgd(), r"fails \(.*\w+Error: .*; fix it, or name another"),
    "schedule-free": (
        optax.contrib.schedule_free_sgd(0.1),
        "is schedule-free: it is to be evaluated at other parameters than it trains, with",
    ),
}


def try_own(**fields):
    fields |= {"dataset.num_classes": 3, "dataset.num_channels": 1, "dataset.image_size": 2}
    try_parts(toy_config(**fields), toy_settings(**fields), ToyModel())


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_that_cannot_be_used_is_one_sentence(kind):
    function, sentence = LOSSES[kind]
    register_loss("mine")(function)
    with pytest.raises(UserError, match=f"^The loss mine {sentence}") as error:
        try_own(loss="mine")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_that_cannot_be_used_is_one_sentence(kind):
    optimizer, sentence = OPTIMIZERS[kind]
    register_optimizer("Mine")(lambda learning_rate: optimizer)
    with pytest.raises(UserError, match=f"^The optimizer Mine {sentence}") as error:
        try_own(**{"opt.opt_type": "Mine"})
    assert "\n" not in str(error.value)


def test_those_that_can_be_are_not_refused():
    register_loss("brier")(brier)
    register_optimizer("Mine")(lambda learning_rate: optax.apply_if_finite(optax.adam(0.1), 3))
    try_own(loss="brier", **{"opt.opt_type": "Mine"})


def test_a_state_with_truth_values_is_saved_and_resumed(tmp_path):
    register_optimizer("Mine")(
        lambda learning_rate: optax.apply_if_finite(optax.sgd(learning_rate), 3)
    )
    fields = {"opt.opt_type": "Mine", "total_epochs": 1}
    train_toy(tmp_path / "run", **fields)
    assert train_toy(tmp_path / "run", **fields)["steps"] == 4


def test_names_are_listed_and_taken_once():
    with pytest.raises(UserError, match=r"^Unknown loss 'brier'; known: cross_entropy, b"):
        toy_settings(loss="brier")
    register_loss("brier")(brier)
    assert "brier" in losses.loss_names()
    with pytest.raises(UserError, match=r"^The loss 'brier' is registered already; choose anoth"):
        register_loss("brier")(brier)
