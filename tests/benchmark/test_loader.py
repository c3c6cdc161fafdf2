"""The device loader is timed without tensorflow."""

import json

import pytest


@pytest.mark.usefixtures("little_installed")
def test_the_device_loader_is_timed_alone(run_python):
    done = run_python(
        *("-m", "benchmark.loader"),
        *("--cases=cifar_basic_device", "--seconds=0.1", "--rounds=1"),
    )
    figures = json.loads(done.stdout)
    assert figures["gnp"]["median_images_per_second"] > 0
    assert figures["gnp/pytorch"] is None
    assert "pytorch" not in figures
    assert done.stderr.startswith("No figure of pytorch: ModuleNotFoundError")
