"""Losses and gradients that are not finite: found, named, acted on."""

import os
import signal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gnp.errors import TrainingError
from gnp.model.scanned_blocks import BlockStack
from gnp.runs.metrics import read_metrics
from gnp.training.interrupt import Interrupted
from gnp.training.nonfinite import NonFinitePolicy, NonFiniteStep, explain, first_bad_layer
from gnp.training.objective import Objective
from gnp.training.state import create_state
from tests.training.interruptions import PoisonedSource
from tests.training.toy import ToyModel, ToySource, train_toy

pytestmark = pytest.mark.usefixtures("_compile_fast")


class ModelThatBreaksWhenPerturbed(ToyModel):
    """Not finite wherever its parameters are not those of the first step of standard training."""

    @nn.compact
    def __call__(self, inputs, train):
        scale = self.param("scale", nn.initializers.ones, (1,))
        overflow = jnp.where(jnp.abs(scale - 1) > 1e-6, jnp.inf, 1.0)
        return nn.Dense(self.num_outputs)(inputs.reshape(len(inputs), -1)) * scale * overflow


def lines(folder, key):
    return {m["step"]: m[key] for m in read_metrics(folder / "metrics.jsonl") if key in m}


def test_stop_names_step_pass_and_input_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"Step 6: .* pass 1; .* the input of ToyModel"):
        train_toy(tmp_path, PoisonedSource(6))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["4"]


def test_stop_names_the_second_pass_and_its_layer(tmp_path):
    with pytest.raises(
        TrainingError, match=r"Step 1: .* perturbed parameters; .* the layer ModelThat"
    ) as error:
        train_toy(tmp_path, ToySource(), ModelThatBreaksWhenPerturbed())
    assert "checkpoint" not in str(error.value)  # there is none


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, drop_path_rate, train):
        return nn.Dense(4, name="dense")(x)


class ModelWithUnnamedBlocks(nn.Module):
    """Its blocks have other names with remat than without."""

    remat: bool = True

    @nn.compact
    def __call__(self, inputs, train):
        block = nn.remat(Block, static_argnums=(2, 3)) if self.remat else Block
        return nn.Dense(3)(block()(inputs.reshape(len(inputs), -1), 0.0, train) * 1e38)


def test_remat_that_changes_names_is_left_on():
    model = ModelWithUnnamedBlocks()
    state = create_state(model, optax.sgd(0.1), image_shape=(2, 2, 1), init_seed=0, seed=0)
    batch = {"image": np.full((2, 2, 2, 1), 100.0, np.float32), "label": np.eye(3)[:2]}
    error = explain(NonFiniteStep(5, 1), Objective(model), state, batch, r=0.0)
    assert "the first bad place is the input of Dense_0. " in str(error)


class ModelOfBlocks(nn.Module):
    scan: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, inputs, train):
        blocks = BlockStack(Block, {}, (0.0, 0.0), self.scan, self.remat, name="blocks")
        return nn.Dense(3)(blocks(inputs.reshape(len(inputs), -1), train))


@pytest.mark.parametrize(
    ("switches", "place"),
    [
        ({}, "blocks/0/dense"),
        ({"remat": True}, "blocks/0/dense"),
        ({"scan": True}, "blocks"),
        ({"scan": True, "remat": True}, "blocks"),
    ],
)
def test_blocks_are_named_whatever_is_done_with_them(switches, place):
    model = ModelOfBlocks(**switches)
    state = create_state(model, optax.sgd(0.1), image_shape=(2, 2, 1), init_seed=0, seed=0)
    params = state.params | {"blocks": jax.tree.map(lambda x: 1e38 * x, state.params["blocks"])}
    batch = {"image": np.full((2, 2, 2, 1), 100.0, np.float32), "label": np.eye(3)[:2]}
    found = NonFiniteStep(5, 1)
    error = explain(found, Objective(model), state.replace(params=params), batch, r=0.0)
    assert f"in pass 1; the first bad place is the layer {place}. " in str(error)


def test_a_skipped_step_changes_nothing_and_is_counted(tmp_path):
    train_toy(tmp_path / "a", PoisonedSource(4, 7), on_nonfinite="skip")
    norms = lines(tmp_path / "a", "train/parameter_norm")
    assert norms[4] == norms[3]
    assert norms[7] == norms[6]
    assert norms[8] != norms[7]
    assert lines(tmp_path / "a", "train/skipped_steps")[12] == 2
    assert np.isnan(lines(tmp_path / "a", "train/loss")[4])


def test_rollback_goes_back_and_skips_the_step(tmp_path):
    train_toy(tmp_path, PoisonedSource(6), on_nonfinite="rollback")
    assert lines(tmp_path, "train/left_out") == {6: 1}
    steps = [m["step"] for m in read_metrics(tmp_path / "metrics.jsonl") if "eval/loss" not in m]
    assert steps == list(range(1, 13))
    assert all(np.isfinite(loss) for loss in lines(tmp_path, "train/loss").values())


def test_a_request_to_stop_stands_through_a_rollback(tmp_path, monkeypatch):
    act = NonFinitePolicy.act

    def interrupted(self, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        act(self, *arguments)

    monkeypatch.setattr(NonFinitePolicy, "act", interrupted)
    with pytest.raises(Interrupted, match="Stopped after step 5 of 12"):
        train_toy(tmp_path, PoisonedSource(6), on_nonfinite="rollback")


def test_weights_become_zero_though_the_last_step_of_the_epoch_is_skipped(tmp_path):
    threshold = {
        "regularization.weight.threshold.limits": (("Dense_0/kernel", 0.3, "elements"),),
        "regularization.weight.threshold.first_epoch": 1,
        "regularization.weight.threshold.last_epoch": 2,
    }
    for policy in ("skip", "rollback"):
        train_toy(tmp_path / policy, PoisonedSource(8), on_nonfinite=policy, **threshold)
        assert lines(tmp_path / policy, "sparsity/all")[12] > 0.1


def test_rollback_stops_after_so_many(tmp_path):
    with pytest.raises(TrainingError, match="Step 7"):
        train_toy(tmp_path, PoisonedSource(5, 6, 7), on_nonfinite="rollback", max_rollbacks=2)


class TwoLayers(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3, name="first")(x)
        x = jnp.sqrt(nn.Dense(3, name="second")(x) * 0)  # the gradient of a root at 0 is infinite
        return nn.Dense(3, name="third")(x)


def test_gradient_that_breaks_is_named_by_the_last_layer_it_reaches():
    model = TwoLayers()
    images = jnp.ones((2, 3))
    params = model.init(jax.random.PRNGKey(0), images)["params"]
    place = first_bad_layer(lambda p: model.apply({"params": p}, images).sum(), params)
    assert place.startswith("the gradient of second/")


def test_parameter_that_is_not_finite_is_named():
    model = TwoLayers()
    images = jnp.ones((2, 3))
    params = model.init(jax.random.PRNGKey(0), images)["params"]
    params["third"]["bias"] = jnp.array([1.0, jnp.inf, 0.0])
    place = first_bad_layer(lambda p: model.apply({"params": p}, images).sum(), params)
    assert place == "the parameter third/bias"
