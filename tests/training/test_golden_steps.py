"""Four training steps of each setting against the reference's trajectories, in float64."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from gnp.model import create_model
from gnp.optimizer.build import build_optimizer
from gnp.regularization.gradient_norm import PenaltyForm
from gnp.regularization.warmup import penalty_warmup
from gnp.training import parallel
from gnp.training.evaluate import evaluate, make_eval_step
from gnp.training.gradient import Penalty
from gnp.training.objective import Objective
from gnp.training.perturbation_groups import PerturbationGroups
from gnp.training.state import TrainState
from gnp.training.step import make_train_step
from tests.golden import fill
from tests.training.toy import split

FOLDER = pathlib.Path(__file__).parents[1] / "golden"
GOLDEN = {n: json.loads((FOLDER / f"steps_{n}dev.json").read_text()) for n in (1, 2)}
CASES = [(n, name) for n, golden in GOLDEN.items() for name in golden["cases"]]
DEFAULT_CASES = ("plain_adamw", "gnp", "gnp_sync")


def pytest_param(devices, name):
    # Each case compiles a WideResNet in float64, so the default run takes the main ones.
    marks = [] if name in DEFAULT_CASES and devices == 2 else [pytest.mark.slow]
    return pytest.param(devices, name, marks=marks, id=f"{name}-{devices}dev")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def filled(tree, roles):
    flat = traverse_util.flatten_dict(tree)
    values = {
        path: jnp.asarray(fill.fill_leaf(leaf.shape, roles.get(path[-1], "other")), jnp.float64)
        for path, leaf in flat.items()
    }
    return traverse_util.unflatten_dict(values)


def create_state(model, optimizer):
    images = jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.PRNGKey(0), images, train=False))
    params = filled(shapes["params"], {"scale": "scale"})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=filled(shapes["batch_stats"], {"var": "var"}),
        opt_state=optimizer.init(params),
        key=jax.random.PRNGKey(0),
        skipped=jnp.zeros((), jnp.int32),
    )


def batch_of(seed, soft):
    one_hot = np.eye(10)[fill.labels(8, 10, seed=seed)]
    return {
        "image": fill.images(8, 32, seed=seed).astype(np.float64),
        "label": 0.7 * one_hot + 0.3 * one_hot[::-1] if soft else one_hot,
    }


def build_step(model, optimizer, settings, penalize, devices):
    warmup_steps = settings["warmup_epochs"] * settings["steps_per_epoch"]
    schedules = penalty_warmup(
        settings["strategy"], r=settings["r"], alpha=settings["alpha"], warmup_steps=warmup_steps
    )
    penalty = Penalty(*schedules, form=PenaltyForm(norm_perturbations=settings["norm"]))
    objective = Objective(
        model,
        l2=settings["l2"],
        l2_on_kernels_only=settings["nobn"],
        label_smoothing=settings["smooth"],
    )
    return parallel.map_train_step(
        make_train_step(
            objective,
            optimizer,
            lambda step: settings["lr"],
            penalty=penalty if penalize else None,
            groups=PerturbationGroups(per_device=1, devices=devices if settings["sync"] else 1),
            gradient_clipping=settings["clip"],
        )
    )


def norms(tree):
    return sorted(float(jnp.linalg.norm(leaf)) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("devices", "name"), [pytest_param(*case) for case in CASES])
def test_golden_steps(devices, name, monkeypatch):
    some_devices = jax.devices()[:devices]
    monkeypatch.setattr(jax, "local_devices", lambda: some_devices)
    golden = GOLDEN[devices]["cases"][name]
    settings = golden["settings"]
    model = create_model("WideResNet_16_4", num_outputs=10)
    optimizer = build_optimizer(settings["opt"], settings["opt_params"])
    state = create_state(model, optimizer)
    kinds = {}
    for index, expected in enumerate(golden["steps"]):
        penalize = expected["r"] > 0
        if penalize not in kinds:
            kinds[penalize] = build_step(model, optimizer, settings, penalize, devices)
        batch = split(batch_of(100 + index, settings["soft"]), devices)
        state, metrics = kinds[penalize](state, None, batch)
        close = {"rtol": 1e-6, "err_msg": f"step {index}"}
        loss = metrics["perturbed_loss" if penalize else "loss"]
        error_rate = metrics["perturbed_error_rate" if penalize else "error_rate"]
        np.testing.assert_allclose(loss, expected["train_loss"], **close)
        np.testing.assert_allclose(error_rate, expected["train_error_rate"], **close)
        np.testing.assert_allclose(metrics["gradient_norm"], expected["gradient_norm"], **close)
        np.testing.assert_allclose(metrics["parameter_norm"], expected["param_norm"], **close)
        if penalize:
            np.testing.assert_allclose(metrics["r"], expected["r"], **close)
            np.testing.assert_allclose(metrics["alpha"], expected["alpha"], **close)

    np.testing.assert_allclose(norms(state.params), golden["final_param_leaf_norms"], rtol=1e-6)
    sums = sorted(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(state.batch_stats))
    np.testing.assert_allclose(sums, golden["final_batch_stats_leaf_sums"], rtol=1e-6)

    evaluation = batch_of(150, soft=False) | {"mask": np.array([1.0] * 6 + [0.0] * 2)}
    eval_step = parallel.map_eval_step(make_eval_step(model, settings["smooth"]))
    result = evaluate(eval_step, state, [evaluation])
    assert result["num_images"] == 6
    np.testing.assert_allclose(result["loss"] * 6, golden["eval_sums"]["loss"], rtol=1e-6)
    np.testing.assert_allclose(result["error_rate"] * 6, golden["eval_sums"]["error_rate"])
