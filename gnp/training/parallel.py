"""Mapping over devices: the only file that knows how many there are.

State is one logical copy on all devices; batches are split over them along their first axis.
`mean`, `total`, `gathered` and `device_index` are for use inside a mapped function.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gnp.regularization.control_flow import scan

PyTree = Any
Number = TypeVar("Number", bool, int)

AXIS = "batch"

_BATCHES_AHEAD = 2


def mean(tree: PyTree, group_size: int | None = None) -> PyTree:
    """Mean over all devices of all processes, or over groups of so many neighbours."""
    num_devices = jax.lax.axis_size(AXIS)
    # XLA copies what it reduces, even where there is nothing to reduce.
    if 1 in (num_devices, group_size):
        return tree
    if group_size is None:
        return jax.lax.pmean(tree, AXIS)
    devices = range(num_devices)
    groups = [list(devices[first:][:group_size]) for first in devices[::group_size]]
    return jax.lax.pmean(tree, AXIS, axis_index_groups=groups)


def total(tree: PyTree) -> PyTree:
    """Sum over all devices of all processes."""
    return jax.lax.psum(tree, AXIS)


def gathered(tree: PyTree) -> PyTree:
    """The parts of all devices of all processes, joined along their first axis."""
    return jax.lax.all_gather(tree, AXIS, tiled=True)


def device_index() -> jax.Array:
    """Index of this device among all."""
    return jax.lax.axis_index(AXIS)


def _as_it_is(device_data, batch):
    return batch


def _prepared(step, prepare):
    def prepared_step(state, device_data, batch):
        return step(state, prepare(device_data, batch))

    return prepared_step


def map_train_step(
    step: Callable, prepare: Callable = _as_it_is, *, several: bool = False
) -> Callable:
    """Maps `step(state, batch) -> (state, metrics)`.

    Args:
      step: one device's part of a training step.
      prepare: `(device_data, batch) -> batch`, made of what the source sends, on the device.
      several: take several steps in one program.

    Returns:
      `(state, device_data, batch) -> (state, metrics)` for what `split` makes; with `several` for
      what `split_several` makes, and the metrics have one value for each step. It reuses the
      state's buffers.
    """
    take = _prepared(step, prepare)

    def take_several(state, device_data, batches):
        return scan(lambda state, batch: take(state, device_data, batch), state, batches)

    return jax.pmap(
        take_several if several else take,
        axis_name=AXIS,
        in_axes=(None, None, 0),
        out_axes=(None, None),
        donate_argnums=0,
    )


def map_eval_step(
    step: Callable, prepare: Callable = _as_it_is, *, per_image: bool = False
) -> Callable:
    """Maps `step(state, batch) -> results`.

    Args:
      step: one device's part of an evaluation step. Its results are sums over all devices already,
        or with `per_image` one for each image.
      prepare: as in `map_train_step`.
      per_image: the results are devices x images per device x ...

    Returns:
      `(state, device_data, batch) -> results`.
    """
    return jax.pmap(
        _prepared(step, prepare),
        axis_name=AXIS,
        in_axes=(None, None, 0),
        out_axes=0 if per_image else None,
    )


def replicate(tree: PyTree) -> PyTree:
    """Puts a tree of arrays, the same in every process, on all devices."""
    return jax.device_put(jax.device_get(tree), _everywhere())


def as_global(tree: PyTree) -> PyTree:
    """The same arrays as one logical copy over the devices of all processes.

    A mapped step returns each process's own copies; checkpoints are written of global arrays.
    """
    sharding = _everywhere()

    def as_one(array):
        copies = [shard.data for shard in array.addressable_shards]
        return jax.make_array_from_single_device_arrays(array.shape, sharding, copies)

    return jax.tree.map(as_one, tree)


def has_several_processes() -> bool:
    return jax.process_count() > 1


def stop_is_agreed(block: int) -> bool:
    """Whether all processes stop after this block of steps, because one of them got SIGTERM.

    The block that they agree on is one behind the furthest of them, so each must be asked about.
    """
    return multihost_utils.reached_preemption_sync_point(block)


def barrier(name: str) -> None:
    """Waits until every process is here; `name` says where that is."""
    if has_several_processes():
        multihost_utils.sync_global_devices(name)


def agree(value: Number) -> Number:
    """What the first process says, in all of them: a bool or a number."""
    if not has_several_processes():
        return value
    return multihost_utils.broadcast_one_to_all(np.array(value)).item()


def _everywhere():
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    return NamedSharding(mesh, PartitionSpec())


def split(batch: PyTree) -> PyTree:
    """Splits this process's share of a batch over its devices, and sends it there.

    Args:
      batch: tree of arrays whose first axis divides by the number of local devices.

    Returns:
      The arrays as devices x examples per device x ..., on their way to the devices.
    """
    return _send(jax.tree.map(_by_device, batch))


def split_several(batches: Sequence[PyTree]) -> PyTree:
    """Splits this process's shares of several batches, for `map_train_steps`.

    Args:
      batches: trees of equal shapes, as in `split`.

    Returns:
      The arrays as devices x batches x examples per device x ..., on their way to the devices.
    """
    parts = [jax.tree.map(_by_device, batch) for batch in batches]
    return _send(jax.tree.map(lambda *arrays: np.stack(arrays, axis=1), *parts))


def _by_device(array):
    return np.reshape(array, (len(jax.local_devices()), -1, *np.shape(array)[1:]))


def _send(parts):
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(parts, NamedSharding(mesh, PartitionSpec(AXIS)))


def split_ahead(
    batches: Iterable[PyTree], split: Callable[[PyTree], PyTree] = split
) -> Iterator[PyTree]:
    """`split` of each batch, begun while the batches before it are being computed with."""
    under_way = collections.deque()
    for batch in batches:
        under_way.append(split(batch))
        if len(under_way) > _BATCHES_AHEAD:
            yield under_way.popleft()
    yield from under_way
