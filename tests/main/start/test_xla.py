"""Compiler settings: known to the compiler installed, and weaker than those of the user."""

import os
import subprocess
import sys

import pytest

from gnp.main.start import xla

PROGRAM = """
import os
os.environ.pop("XLA_FLAGS", None)
from gnp.main.start import xla
{settings}
import jax, jax.numpy as jnp
from flax import linen as nn
images, layer = jnp.ones((8, 32, 32, 64)), nn.Conv(64, (3, 3))
apply = jax.jit(layer.apply)
variables = layer.init(jax.random.key(0), images)
print("ynn" in apply.lower(variables, images).compile().as_text())
"""


@pytest.mark.parametrize("settings", ["", "xla.use_all_cores()"])
def test_convolutions_are_left_to_xla_itself(settings):
    program = PROGRAM.format(settings=settings)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(not settings)


def test_other_flags_stay(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    xla.use_all_cores("0.11.2")
    assert os.environ["XLA_FLAGS"].split() == [
        "--xla_force_host_platform_device_count=2",
        "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution",
    ]


@pytest.mark.parametrize(
    ("flags", "version"),
    [("--xla_cpu_experimental_ynn_fusion_type=dot", "0.11.2"), ("", "0.9.1"), ("", "0.13.0")],
)
def test_what_the_user_says_stands_and_other_versions_are_left_alone(monkeypatch, flags, version):
    monkeypatch.setenv("XLA_FLAGS", flags)
    xla.use_all_cores(version)
    assert os.environ["XLA_FLAGS"] == flags
