"""The layers of a network as a chain of maps, each from its own input to that of the next."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct, traverse_util

# The input of a layer: all its array arguments with one row for each image.
Inputs = tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A call of a module.

    Attributes:
      path: of the module.
      call: number of earlier calls of it.
    """

    path: tuple[str, ...]
    call: int = 0

    @property
    def name(self) -> str:
        again = f" (call {self.call + 1})" if self.call else ""
        return "/".join(self.path) + again


@struct.dataclass
class LayerChain:
    r"""Layers as maps :math:`h_k \to h_{k+1}`: h_k is the input of layer k, h_n are the logits.

    Layers are the modules with parameters that the network itself calls, in the order of the calls.
    A module that only applies its own modules in sequence is replaced by them. Operations between
    two layers, such as a ReLU, belong to the first of them. A shortcut within a layer is part of
    its map; a shortcut past whole layers is not included.

    The network is in evaluation mode, so images do not influence each other.

    >>> class Net(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         x = nn.relu(nn.Dense(3)(images))
    ...         return nn.Dense(2)(x)
    ...
    >>> images = jnp.ones((4, 5))
    >>> variables = Net().init(jax.random.key(0), images, train=False)
    >>> chain = LayerChain.create(Net(), variables, images)
    >>> [layer.name for layer in chain.layers]
    ['Dense_0', 'Dense_1']

    Attributes:
      model: a classifier, called as `model(images, train=False)`, without scans or remat.
      layers: n of them.
      variables: `params` and `batch_stats`.
      images: a batch.
      inputs: h₀ … h_n, each a tuple of arrays with the images along their first axis.
    """

    model: nn.Module = struct.field(pytree_node=False)
    layers: tuple[Layer, ...] = struct.field(pytree_node=False)
    variables: Mapping[str, Any]
    images: jax.Array
    inputs: Sequence[Inputs] = ()

    @classmethod
    def create(
        cls, model: nn.Module, variables: Mapping[str, Any], images: jax.Array
    ) -> "LayerChain":
        """The chain of a model at a batch."""
        chain = cls(model, find_layers(model, variables, images), variables, images)
        return chain.replace(inputs=jax.jit(lambda chain: chain._forward())(chain))

    def after(self, index: int, inputs: Inputs) -> Inputs:
        """The map of a layer: h_k → h_{k+1}.

        Args:
          index: k.
          inputs: h_k.
        """
        return self._forward({index: inputs})[index + 1]

    def end(self, shifts: Sequence[Inputs], index: int) -> Inputs:
        """h_index, where `shifts` are added to each h_k before it."""
        return self._forward(shifts=shifts)[index]

    def _forward(self, replaced=None, shifts=()):
        """The inputs of all layers, some of them replaced by their index or shifted."""
        replaced = replaced or {}
        order = {layer: index for index, layer in enumerate(self.layers)}
        seen, calls, num_images = [None] * (len(order) + 1), {}, len(self.images)

        def watch(call, args, kwargs, context):
            layer = _next_call(calls, context)
            if layer not in order:
                return call(*args, **kwargs)
            index = order[layer]
            inputs = replaced.get(index, _arrays(args, num_images))
            if index < len(shifts):
                inputs = jax.tree.map(jnp.add, inputs, shifts[index])
            seen[index] = inputs
            return call(*_with_arrays(args, inputs, num_images), **kwargs)

        with nn.intercept_methods(watch):
            logits = self.model.apply(self.variables, self.images, train=False)
        seen[-1] = (logits,)
        return seen


@dataclasses.dataclass
class _Call:
    """A call of a module, with its inputs, its result and the calls within."""

    layer: Layer
    inputs: Inputs = ()
    result: Any = None
    within: list["_Call"] = dataclasses.field(default_factory=list)


def find_layers(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array
) -> tuple[Layer, ...]:
    """The layers of a `LayerChain`, found from shapes alone."""
    owners = _owners(variables["params"])
    root = _Call(Layer(()))
    stack, calls = [root], {}

    def watch(call, args, kwargs, context):
        layer = _next_call(calls, context)
        if layer is None or not layer.path:
            return call(*args, **kwargs)
        entry = _Call(layer, _arrays(args, len(images)))
        stack[-1].within.append(entry)
        stack.append(entry)
        entry.result = call(*args, **kwargs)
        stack.pop()
        return entry.result

    def apply():
        with nn.intercept_methods(watch):
            return model.apply(variables, images, train=False)

    jax.eval_shape(apply)
    return tuple(_flattened(root.within, owners))


def _flattened(calls, owners):
    """The layers of the calls; a sequence is replaced by its modules."""
    for call in calls:
        if call.layer.path not in owners or not call.inputs:
            continue
        if _is_sequence(call):
            yield from _flattened(call.within, owners)
        else:
            yield call.layer


def _is_sequence(call):
    """Whether a module only passes its input through its own modules, one after the other."""
    if not call.within:
        return False
    passed = [call.inputs[0], *[inner.result for inner in call.within]]
    received = [*[inner.inputs[0] if inner.inputs else None for inner in call.within], call.result]
    return all(a is b for a, b in zip(passed, received, strict=True))


def _next_call(calls, context):
    if context.method_name != "__call__":
        return None
    path = context.module.path
    calls[path] = calls.get(path, -1) + 1
    return Layer(path, calls[path])


def _owners(params):
    """The paths of all modules that have parameters, in themselves or in their modules."""
    leaves = traverse_util.flatten_dict(params)
    return {path[:length] for path in leaves for length in range(1, len(path))}


def _arrays(args, num_images):
    return tuple(arg for arg in args if _is_input(arg, num_images))


def _with_arrays(args, arrays, num_images):
    arrays = iter(arrays)
    return [next(arrays) if _is_input(arg, num_images) else arg for arg in args]


def _is_input(arg, num_images):
    return isinstance(arg, jax.Array) and arg.ndim > 0 and len(arg) == num_images
