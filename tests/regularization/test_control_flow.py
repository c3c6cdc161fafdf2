"""As with `jax.lax`, and without loops and branches where they are slow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.regularization.control_flow import scan


def body(carry, x):
    return carry + x, carry * x


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_it_is_a_scan_and_a_loop_on_accelerators_alone(backend, monkeypatch):
    xs = jnp.arange(5.0)
    expected = jax.lax.scan(body, 1.0, xs)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    program = jax.jit(lambda xs: scan(body, 1.0, xs))
    assert ("while" in program.lower(xs).as_text()) == (backend == "gpu")
    jax.tree.map(np.testing.assert_array_equal, program(xs), expected)
