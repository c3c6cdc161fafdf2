"""Describes the machine that a benchmark runs on, for each line of its results.

python -m benchmark.machine

Prints one JSON object.
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import sys

import jax

_PACKAGES = ("jax", "jaxlib", "flax", "optax")
_CPU_INFO = pathlib.Path("/proc/cpuinfo")


def describe() -> dict:
    """Returns devices, processor and versions."""
    return {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "num_devices": jax.device_count(),
        "backend": jax.default_backend(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def require_one_device(count: int) -> None:
    """Exits if there are several devices: only this project's steps would use all of them."""
    if count > 1:
        sys.exit(
            f"There are {count} devices, and only this project's steps would use all of them; show "
            "JAX one device, with CUDA_VISIBLE_DEVICES=0 or JAX_NUM_CPU_DEVICES=1."
        )


def _cpu_name():
    if _CPU_INFO.exists():
        found = re.search(r"^model name\s*: (.+)$", _CPU_INFO.read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    print(json.dumps(describe()))
