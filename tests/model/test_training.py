"""Every registered model takes penalized steps through the training step."""

import jax
import numpy as np
import optax
import pytest

from gnp.model import create_model, model_names
from gnp.optimizer.build import build_optimizer
from gnp.regularization import tree
from gnp.training import parallel
from gnp.training.gradient import Penalty
from gnp.training.objective import Objective
from gnp.training.state import create_state
from gnp.training.step import make_train_step
from tests.model.golden_models import BARE, IMAGE_SIZES

# Of these the step is only compiled: parameters, momentum and gradients would fill the memory.
TOO_LARGE = ("CaiT_M24", "CaiT_M36", "CaiT_M48", "ViT_L16")


pytestmark = pytest.mark.usefixtures("_compile_fast", "_forget_step")


@pytest.fixture
def _forget_step():
    """Compiled steps of all models together would fill the memory."""
    yield
    jax.clear_caches()


def _setting(name):
    model = create_model(name, num_outputs=10, **BARE.get(name, {}))
    optimizer = build_optimizer("Momentum", {})
    step = parallel.map_train_step(
        make_train_step(
            Objective(model, l2=1e-4),
            optimizer,
            optax.constant_schedule(0.01),
            penalty=Penalty(optax.constant_schedule(0.1), optax.constant_schedule(0.8)),
            gradient_clipping=1.0,
        )
    )
    size = IMAGE_SIZES.get(name, 32)
    batch = {
        "image": np.random.default_rng(0).normal(size=(1, 2, size, size, 3)).astype(np.float32),
        "label": np.eye(10, dtype=np.float32)[None, [3, 7]],
    }

    def state():
        return create_state(model, optimizer, image_shape=(size, size, 3), init_seed=0, seed=0)

    return step, state, batch


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in model_names() if name not in TOO_LARGE])
def test_two_penalized_steps(name):
    step, create, batch = _setting(name)
    state = create()
    before = jax.device_get(state.params)
    for _ in range(2):
        state, metrics = step(state, None, batch)
    assert int(state.step) == 2
    assert int(state.skipped) == 0
    assert np.isfinite(metrics["loss"])
    assert np.isfinite(metrics["perturbed_loss"])
    assert metrics["gradient_norm"] > 0
    assert tree.global_norm(tree.add(state.params, before, -1)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", TOO_LARGE)
def test_the_step_of_the_largest_models_lowers(name):
    step, create, batch = _setting(name)
    step.lower(jax.eval_shape(create), None, batch)
