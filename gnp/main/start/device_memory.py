"""The memory of the devices that there are, and whether a model fits into it."""

import os

import jax

from gnp.errors import UserError
from gnp.model.size import ModelSize

_BYTES = 4  # of a parameter, in float32


def check_fits(name: str, size: ModelSize) -> None:
    """Checks that a device holds the parameters. Where one does not, JAX may wait for ever.

    Args:
      name: of the model, for the message.
      size: of the model.

    Raises:
      UserError: the parameters alone are larger than the memory of a device.
    """
    memory = _memory(jax.local_devices()[0])
    if _BYTES * size.parameters > memory:
        raise UserError(
            f"Model {name} has {size.parameters:.2g} parameters of {_BYTES} bytes, but a device "
            f"has {memory / 1e9:.0f} GB of memory; choose smaller numbers in model.model_params."
        )


def _memory(device):
    """In bytes. CPUs do not tell theirs; it is that of the machine."""
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
