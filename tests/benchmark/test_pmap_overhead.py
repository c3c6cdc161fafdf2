"""Both mappings compute the same, so their times are comparable."""

import jax
import numpy as np

from benchmark.jax.steps import make_batch, our_step
from benchmark.pmap_overhead import step_by_shard_map
from tests.training.toy import ToyModel


def after_two_steps(step, state, *data):
    for _ in range(2):
        state, metrics = step(state, *data)
    return jax.device_get((state, metrics))


def test_shard_map_trains_as_pmap_does():
    model, batch = ToyModel(num_outputs=10, dropout_rate=0.3), make_batch(16, 4)
    by_pmap = after_two_steps(*our_step(model, batch, penalized=True))
    by_shard_map = after_two_steps(*step_by_shard_map(model, batch))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), by_pmap, by_shard_map)
