"""All implementations of a step do the same work: they end with the same parameters.

Two steps with clipped gradients, so that clipping and momentum matter.
"""

import flax.linen as nn
import jax
import numpy as np
import pytest

from benchmark.jax import steps
from gnp.training.perturbation_groups import PerturbationGroups

pytestmark = pytest.mark.usefixtures("_compile_fast")


class LoudModel(nn.Module):
    """One hidden layer with batch norm; large logits, so that the gradient is clipped."""

    @nn.compact
    def __call__(self, inputs, train):
        x = nn.Dense(8)(inputs.reshape(len(inputs), -1))
        x = nn.gelu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return 20 * nn.Dense(10)(x)


@pytest.fixture(scope="module")
def setting():
    # All devices get the same images, so their statistics equal those of the whole batch.
    batch = steps.make_batch(6, 4)
    whole = {
        name: np.tile(x, (jax.device_count(), *[1] * (x.ndim - 1))) for name, x in batch.items()
    }
    return LoudModel(), whole


def _after_two_steps(step, state, *data, calls_per_step=1):
    for _ in range(2 * calls_per_step):
        state, metrics = step(state, *data)
    return jax.device_get((state.params, state.batch_stats)), metrics


def _assert_close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
    )


@pytest.mark.parametrize("penalized", [False, True])
def test_ours_and_the_floor(setting, penalized):
    groups = PerturbationGroups(devices=jax.device_count()) if penalized else None
    ours, metrics = _after_two_steps(*steps.our_step(*setting, penalized=penalized, groups=groups))
    floor, _ = _after_two_steps(*steps.step_by_hand(*setting, penalized=penalized))
    assert metrics["gradient_norm_mixed"] > steps.CLIPPING
    _assert_close(ours, floor)


def test_sam_in_both_modes_of_optax(setting, monkeypatch):
    monkeypatch.setattr(steps, "ALPHA", 1.0)  # optax does not mix the gradients
    floor, _ = _after_two_steps(*steps.step_by_hand(*setting, penalized=True))
    opaque, _ = _after_two_steps(*steps.optax_sam_opaque(*setting))
    _assert_close(opaque, floor)
    # The second update of a pair starts from the original parameters. Both updates change the
    # running statistics, and they use different dropout masks.
    transparent, _ = _after_two_steps(*steps.optax_sam_transparent(*setting), calls_per_step=2)
    _assert_close(transparent[0], floor[0])
