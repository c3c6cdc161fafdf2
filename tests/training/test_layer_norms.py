"""Norms by layer."""

import jax.numpy as jnp
import numpy as np

from gnp.training.monitoring.health import layer_names, layer_norms


def test_each_module_has_the_norm_of_what_it_holds_itself():
    params = {
        "head": {"kernel": jnp.full((2, 2), 2.0)},
        "block": {
            "norm": {"scale": jnp.array([3.0]), "bias": jnp.array([4.0])},
            "token": jnp.array([5.0, 12.0]),
        },
        "b": {"kernel": jnp.ones((3, 3))},
    }
    assert layer_names(params) == ["b", "block", "block/norm", "head"]
    np.testing.assert_allclose(layer_norms(params), [3, 13, 5, 4], rtol=1e-6)
