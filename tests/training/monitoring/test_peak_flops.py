"""Devices are known by the kind that JAX tells."""

import pytest

from gnp.training.monitoring.peak_flops import peak_flops


@pytest.mark.parametrize(
    ("kind", "tflops"),
    [
        ("TPU v4", 275),
        ("TPU v4 lite", 138),
        ("TPU v5", 459),
        ("TPU v5 lite", 197),
        ("TPU v6 lite", 918),
        ("Tesla V100-SXM2-16GB", 125),
        ("Tesla V100-PCIE-16GB", 112),
        ("NVIDIA H200", 989),
        ("NVIDIA H200 NVL", 835),
        ("NVIDIA A10", 125),
        ("NVIDIA A10G", 70),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA L40S", 362),
    ],
)
def test_known_devices(kind, tflops):
    assert peak_flops(kind) == tflops * 1e12


@pytest.mark.parametrize(
    "kind", ["cpu", "NVIDIA A1000", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", "TPU v99"]
)
def test_unknown_devices_and_parts_of_devices(kind):
    assert peak_flops(kind) is None
