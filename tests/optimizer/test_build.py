"""Optimizers by name, where libraries differ."""

import jax.numpy as jnp
import numpy as np

from gnp.optimizer.build import build_optimizer, set_learning_rate


def test_rmsprop_has_its_epsilon_within_the_root():
    optimizer = build_optimizer("RMSProp", {"decay": 0.5, "eps": 1e-2})
    params, gradient = jnp.zeros(2), jnp.array([1e-3, 1.0])
    state = set_learning_rate(optimizer.init(params), 1.0)
    updates, _ = optimizer.update(gradient, state, params)
    expected = -gradient / np.sqrt(0.5 * np.square(gradient) + 1e-2)
    np.testing.assert_allclose(updates, expected, rtol=1e-6)
