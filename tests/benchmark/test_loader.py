"""The data of this project are timed without tensorflow where they do not need it."""

import json
import subprocess
import sys

import pytest


@pytest.mark.usefixtures("little_installed")
def test_the_device_loader_is_timed_alone():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmark.loader"),
            *("--cases=cifar_basic_device", "--seconds=0.1", "--rounds=1"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["gnp"]["median_images_per_second"] > 0
    assert figures["gnp/pytorch"] is None
    assert "pytorch" not in figures
    assert done.stderr.startswith("No figure of pytorch: ModuleNotFoundError")
