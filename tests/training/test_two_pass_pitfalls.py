"""What users of two-pass training stumbled over elsewhere, each as a test that holds it here."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gnp.errors import TrainingError
from gnp.optimizer.build import build_optimizer
from gnp.regularization import gradient_norm, tree
from gnp.regularization.warmup import penalty_warmup
from gnp.runs.metrics import read_metrics
from gnp.training import parallel
from gnp.training.gradient import Penalty
from gnp.training.objective import Objective
from gnp.training.state import create_state
from gnp.training.step import make_train_step
from tests.training.toy import ToyModel, ToySource, train_toy

pytestmark = pytest.mark.usefixtures("_compile_fast")


def run(folder, source=None, model=None, **overrides):
    train_toy(folder, source, model, **overrides)
    return read_metrics(folder / "metrics.jsonl")


def train_lines(metrics):
    return [line for line in metrics if "train/loss" in line]


def step_once(model, r, batch):
    optimizer = build_optimizer("SGD", {})
    penalty = Penalty(*penalty_warmup("none", r=r, alpha=0.8, warmup_steps=0))
    step = make_train_step(Objective(model), optimizer, lambda _: 0.1, penalty=penalty)
    state = create_state(model, optimizer, image_shape=(2, 2, 1), init_seed=0, seed=0)
    return parallel.map_train_step(step)(state, None, {k: v[None] for k, v in batch.items()})


def first_batch():
    return next(iter(ToySource().train_batches(0)))


def test_dropout_draws_the_same_numbers_in_both_passes():
    _, metrics = step_once(ToyModel(dropout_rate=0.5), 1e-6, first_batch())
    np.testing.assert_allclose(metrics["perturbed_loss"], metrics["loss"], rtol=1e-5)
    np.testing.assert_allclose(metrics["gradient_cosine"], 1, rtol=1e-5)


def test_second_pass_normalizes_by_the_batch_and_not_by_running_averages():
    batch = first_batch()
    batch["image"] = batch["image"] * 100 + 1000  # far from the running averages' start
    _, metrics = step_once(ToyModel(), 1e-6, batch)
    np.testing.assert_allclose(metrics["perturbed_loss"], metrics["loss"], rtol=1e-3)


def test_learning_rate_of_the_schedule_is_the_one_applied(tmp_path):
    """Without momentum a step moves the parameters by rate times gradient, no other rate."""
    metrics = run(tmp_path, **{"opt.opt_type": "SGD", "warmup_epochs": 1, "l2_regularization": 0.0})
    rates = [line["train/learning_rate"] for line in train_lines(metrics)]
    np.testing.assert_allclose(rates[:5], [0, 0.025, 0.05, 0.075, 0.1], rtol=1e-6)
    norms = [line["train/parameter_norm"] for line in train_lines(metrics)]
    assert norms[1] != norms[0]
    assert norms[0] == pytest.approx(initial_norm(), rel=1e-6)  # the first rate is zero


def initial_norm():
    optimizer = build_optimizer("SGD", {})
    state = create_state(ToyModel(), optimizer, image_shape=(2, 2, 1), init_seed=0, seed=0)
    return float(tree.global_norm(state.params))


@pytest.mark.parametrize(
    ("strategy", "r", "alpha"),
    [
        ("r", [0, 0.025, 0.05, 0.075, 0.1, 0.1], [0.8] * 6),
        ("lambda", [0.1] * 6, [0, 0.2, 0.4, 0.6, 0.8, 0.8]),
        ("zero", [0, 0, 0, 0, 0.1, 0.1], [0, 0, 0, 0, 0.8, 0.8]),
    ],
)
def test_effective_r_alpha_and_lambda_are_in_the_metrics_of_each_step(tmp_path, strategy, r, alpha):
    lines = train_lines(run(tmp_path, gr_warmup_strategy=strategy, **{"gnp.warmup_epochs": 1.0}))
    np.testing.assert_allclose([line["train/r"] for line in lines[:6]], r, rtol=1e-6)
    np.testing.assert_allclose([line["train/alpha"] for line in lines[:6]], alpha, rtol=1e-6)
    np.testing.assert_allclose(
        [line["train/lambda"] for line in lines[:6]], np.multiply(r, alpha), rtol=1e-6
    )


def test_zero_warmup_steps_make_one_pass(tmp_path):
    lines = train_lines(run(tmp_path, gr_warmup_strategy="zero", **{"gnp.warmup_steps": 6}))
    assert ["train/perturbed_loss" in line for line in lines] == [False] * 6 + [True] * 6


def test_penalizing_each_third_step(tmp_path):
    lines = train_lines(run(tmp_path, **{"gnp.every": 3}))
    assert ["train/perturbed_loss" in line for line in lines] == [True, False, False] * 4


def test_hybrid_training_makes_one_pass_where_it_drew_standard(tmp_path):
    overrides = {"use_hybrid_training": True, "hybrid_config.p": 0.5}
    lines = train_lines(run(tmp_path, **overrides))
    penalized = ["train/perturbed_loss" in line for line in lines]
    assert 0 < sum(penalized) < len(penalized)


@pytest.mark.parametrize("off", [{"gnp.r": 0.0}, {"gnp.alpha": 0.0}])
def test_no_penalty_asked_is_standard_training_of_one_pass(tmp_path, off):
    lines = train_lines(run(tmp_path, **off))
    assert not any("train/perturbed_loss" in line for line in lines)


def test_log_says_when_the_penalty_begins_and_warns_if_it_never_does(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run(tmp_path / "begins", gr_warmup_strategy="zero", **{"gnp.warmup_steps": 6})
    assert "The penalty begins with step 7" in caplog.text
    caplog.clear()
    run(tmp_path / "never", gr_warmup_strategy="zero", **{"gnp.warmup_steps": 12})
    assert "no step is penalized" in caplog.text


def test_perturbation_does_not_survive_a_step_that_fails(tmp_path):
    class NanAtTheEnd(ToySource):
        def train_batches(self, epoch, first_step=0):
            for batch in super().train_batches(epoch, first_step):
                yield batch if epoch < 2 else batch | {"image": batch["image"] * np.nan}

    lines = train_lines(run(tmp_path, NanAtTheEnd(), on_nonfinite="skip"))
    norms = {line["train/parameter_norm"] for line in lines[8:]}
    assert norms == {lines[7]["train/parameter_norm"]}


def test_diverged_run_stops_instead_of_reporting_a_loss_of_zero(tmp_path):
    with pytest.raises(TrainingError, match="smaller base_lr"):
        run(tmp_path, base_lr=1e30, gradient_clipping=0.0)


def test_works_under_jit_with_a_batch_sharded_over_a_mesh():
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    penalized = gradient_norm.value_and_grad(
        lambda w, x: jnp.mean(jnp.tanh(x @ w) ** 2), r=0.1, alpha=0.8
    )
    weights = jnp.ones(3)
    sharded = jax.device_put(inputs, NamedSharding(mesh, PartitionSpec("batch")))
    np.testing.assert_allclose(
        jax.jit(penalized)(weights, sharded)[1], penalized(weights, inputs)[1], rtol=1e-5
    )
