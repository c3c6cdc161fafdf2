"""Perturbation groups: which images of a global batch share a perturbation (m-sharpness)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gnp.batch_size import share_of_batch
from gnp.errors import UserError
from gnp.regularization.control_flow import scan

PyTree = Any


class PerturbationGroups(NamedTuple):
    """How the images of a batch are grouped. The images of a group share one perturbation.

    The default is one group for each device.

    Attributes:
      per_device: groups that a device goes through one after another.
      devices: neighbouring devices that form one group together.
    """

    per_device: int = 1
    devices: int = 1

    def size(self, batch_size: int, num_devices: int) -> int:
        """Images of a group."""
        return batch_size * self.devices // (num_devices * self.per_device)

    def size_on_device(self, batch_size: int, num_devices: int) -> int:
        """Images of a group that one device has."""
        return self.size(batch_size, num_devices) // self.devices


def plan_groups(
    *,
    batch_size: int,
    num_devices: int,
    accumulation_steps: int = 1,
    perturbation_batch: int | None = None,
) -> PerturbationGroups:
    """Groups of `perturbation_batch` images, whatever the number of devices (m-sharpness).

    Args:
      batch_size: images in the global batch.
      num_devices: over all processes.
      accumulation_steps: microbatches that a device goes through one after another, each with
        passes of its own, so a perturbation spans one microbatch at the most.
      perturbation_batch: m, the images of a perturbation group. None: those of a device's
        microbatch. 0: those of the whole global microbatch.

    Raises:
      UserError: the sizes do not divide; it names sizes that do.
    """
    parts = f"{num_devices} devices"
    if accumulation_steps > 1:
        parts += f" in gradient_accumulation_steps = {accumulation_steps} parts"
    microbatch = share_of_batch(batch_size, num_devices * accumulation_steps, parts)
    if perturbation_batch is None:
        return PerturbationGroups(accumulation_steps, 1)
    m = perturbation_batch or microbatch * num_devices
    if m <= microbatch and microbatch % m == 0:
        return PerturbationGroups(accumulation_steps * (microbatch // m), 1)
    if m % microbatch == 0 and num_devices % (m // microbatch) == 0:
        return PerturbationGroups(accumulation_steps, m // microbatch)
    raise UserError(
        f"gnp.perturbation_batch {m} fits neither into nor around the {microbatch} images that a "
        f"device takes at a time; choose a divisor of {microbatch}, or {microbatch} times a "
        f"divisor of the {num_devices} devices."
    )


def mean_over_groups(
    function: Callable[[PyTree, jax.Array], PyTree], batch: PyTree, count: int
) -> PyTree:
    """Mean of `function(group, index)` over equal parts of a batch, one after another.

    Args:
      function: of a part of the batch and its index; returns a tree of floating-point arrays.
      batch: tree of arrays whose first axis divides by `count`.
      count: number of parts.
    """
    if count == 1:
        return function(batch, jnp.int32(0))
    parts = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
    indices = jnp.arange(count)
    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(function, first, indices[0])
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def add_one(total, part_and_index):
        return jax.tree.map(jnp.add, total, function(*part_and_index)), None

    total, _ = scan(add_one, zeros, (parts, indices))
    return jax.tree.map(lambda x: x / count, total)
