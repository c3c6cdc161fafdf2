"""Settings of the compiler, which must stand before JAX looks for its devices."""

import os

import jaxlib

# XLA gives convolutions on CPUs to YNNPACK, which leaves all cores but one idle where images are
# large (seen with 32x32 pixels and 64 channels); XLA's own take them all.
_FUSIONS = "--xla_cpu_experimental_ynn_fusion_type"
_FLAG = f"{_FUSIONS}=-individual_convolution"

# A flag that XLA does not know ends the process. These versions have been seen to know it.
_KNOWN_SINCE, _KNOWN_BEFORE = (0, 10), (0, 13)


def use_all_cores(version: str = jaxlib.__version__) -> None:
    """Lets convolutions on CPUs take all cores, unless XLA_FLAGS says something else about it.

    Args:
      version: of jaxlib; others than known ones are left alone.
    """
    major, minor, *_ = version.split(".")
    flags = os.environ.get("XLA_FLAGS", "")
    if _FUSIONS in flags or not _KNOWN_SINCE <= (int(major), int(minor)) < _KNOWN_BEFORE:
        return
    os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}".strip()
