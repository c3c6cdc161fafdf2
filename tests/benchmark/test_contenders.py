"""All contenders of a comparison do the same work: they end with the same parameters."""

import jax
import numpy as np
import pytest

from benchmark import contenders
from gnp.model import create_model
from gnp.training.groups import Groups

pytestmark = pytest.mark.usefixtures("_compile_fast")


@pytest.fixture(scope="module")
def setting():
    no_dropout = {"dropout_rate": 0.0, "attention_dropout_rate": 0.0}
    model = create_model("ViT_Micro", 10, patches={"size": 4}, transformer=no_dropout)
    return model, contenders.make_batch(2 * jax.device_count(), 8)


def _params_after_one_step(step, state, *data, calls=1):
    for _ in range(calls):
        state, _ = step(state, *data)
    return jax.device_get(state.params)


def _assert_close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
    )


@pytest.mark.parametrize("penalized", [False, True])
def test_ours_and_the_floor(setting, penalized):
    groups = Groups(devices=jax.device_count()) if penalized else None
    ours = contenders.our_step(*setting, penalized=penalized, groups=groups)
    floor = contenders.step_by_hand(*setting, penalized=penalized)
    _assert_close(_params_after_one_step(*ours), _params_after_one_step(*floor))


def test_sam_in_both_modes_of_optax(setting, monkeypatch):
    monkeypatch.setattr(contenders, "ALPHA", 1.0)  # optax has nothing to mix
    floor = _params_after_one_step(*contenders.step_by_hand(*setting, penalized=True))
    opaque = _params_after_one_step(*contenders.optax_sam_opaque(*setting))
    _assert_close(opaque, floor)
    # The second update of the pair returns to the start and takes the step from there. Its dropout
    # and statistics would be those of another step, but this model has none.
    transparent = _params_after_one_step(*contenders.optax_sam_transparent(*setting), calls=2)
    _assert_close(transparent, floor)
