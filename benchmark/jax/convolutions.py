"""The XLA side of `benchmark.convolutions`.

python -m benchmark.jax.convolutions REQUEST: REQUEST is JSON, the arguments of `measure`.
"""

import jax
import jax.numpy as jnp
from jax import lax

from benchmark.convolutions import dimensions
from benchmark.subprocess_case import answer_request
from benchmark.timing import rate
from gnp.main.start import xla


def measure(case: str, dtype: str, seconds: float, *, default_settings: bool) -> dict:
    """Returns 10⁹ operations per second of each direction."""
    if not default_settings:
        xla.use_all_cores()
    images, side, channels, operations = dimensions(case)
    keys = jax.random.split(jax.random.key(0), 3)
    x, gradient = (jax.random.normal(k, (images, side, side, channels), dtype) for k in keys[:2])
    w = jax.random.normal(keys[2], (3, 3, channels, channels), dtype)

    def convolve(x, w):
        return lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def input_gradient(x, w, gradient):
        return jax.vjp(lambda x: convolve(x, w), x)[1](gradient)

    def weight_gradient(x, w, gradient):
        return jax.vjp(lambda w: convolve(x, w), w)[1](gradient)

    def weight_gradients_in_loop(x, w, gradient):
        def step(_, both):
            return None, weight_gradient(both[0], w, both[1])

        return lax.scan(step, None, (x, gradient))

    def rate_of(function, *arguments):
        function = jax.jit(function)
        return operations * rate(lambda: jax.block_until_ready(function(*arguments)), seconds)

    two, two_gradients = jnp.stack([x, -x]), jnp.stack([gradient, -gradient])

    return {
        "forward": rate_of(convolve, x, w),
        "input_gradient": rate_of(input_gradient, x, w, gradient),
        "weight_gradient": rate_of(weight_gradient, x, w, gradient),
        "weight_gradient_in_loop": 2 * rate_of(weight_gradients_in_loop, two, w, two_gradients),
    }


if __name__ == "__main__":
    answer_request("gflops", measure)
