"""Single convolutions are timed in each direction, with and without this project's settings."""

import json

import jax
import pytest

from benchmark.convolutions import dimensions


def test_operations_are_those_of_the_compiler():
    images, side, channels, operations = dimensions("2x64x4")
    x = jax.ShapeDtypeStruct((images, side, side, channels), "float32")
    w = jax.ShapeDtypeStruct((3, 3, channels, channels), "float32")
    convolve = jax.jit(
        lambda x, w: jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )
    # The compiler does not count products with the padding.
    counted = convolve.lower(x, w).compile().cost_analysis()["flops"] / 1e9
    assert counted < operations < 1.05 * counted


@pytest.mark.usefixtures("little_installed")
def test_directions_are_timed_without_pytorch(run_python):
    done = run_python(
        *("-m", "benchmark.convolutions"),
        *("--cases=8x16x16", "--seconds=0.01", "--rounds=1"),
    )
    figures = json.loads(done.stdout)
    for contender in ("gnp", "xla"):
        assert {"forward", "input_gradient", "weight_gradient"} < set(figures[contender])
        assert all(spread["max_gflops"] > 0 for spread in figures[contender].values())
    assert "pytorch" not in figures
    assert done.stderr.startswith("No figure of pytorch: ModuleNotFoundError")
