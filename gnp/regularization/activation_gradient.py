"""The activation-gradient penalty L + w·Σ_a ‖∂L/∂a‖² over activations that the user names.

An activation is what a module of the model returns, named by the module's path, such as `Dense_0`;
the second call of the same module is `Dense_0:1`, and so on. Zeros that are added to it make its
gradient known, so models need no change. The squares are summed for each example and averaged over
the batch, as L is the mean of the examples' losses.

Nothing is differentiated but the loss with respect to the named activations, and that with respect
to the parameters: statistics, metrics and the gradient of L itself are those without the penalty.
"""

import collections
import contextlib
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from gnp.errors import UserError
from gnp.parameter_paths import matching

Zeros = dict[str, jax.Array]


def penalty(gradients: dict[str, jax.Array]) -> jax.Array:
    r"""Mean over a batch of :math:`\sum_a \|\partial \ell / \partial a\|^2`, ℓ an example's loss.

    >>> print(penalty({"Dense_0": jnp.array([[0.5, 0.0], [0.0, 0.5]])}))
    1.0

    Args:
      gradients: those of the examples' mean loss, by the activations' names, each batch x ...
    """

    def of_one(gradient):
        precise = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
        # The loss is a mean, so an example's own gradient is n times as long.
        return len(gradient) * jnp.sum(jnp.square(precise))

    return sum(map(of_one, gradients.values()), start=jnp.float32(0))


def zeros_for(
    patterns: Sequence[str], apply: Callable[[], object], field: str = "The penalty"
) -> Zeros:
    """Zeros like the activations that one of the patterns matches.

    >>> model = nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(2)])
    >>> images = jnp.ones((4, 5))
    >>> variables = model.init(jax.random.key(0), images)
    >>> zeros = zeros_for(["*_0"], lambda: model.apply(variables, images))
    >>> jax.tree.map(jnp.shape, zeros)
    {'layers_0': (4, 3)}

    Args:
      patterns: of names of activations, see `gnp.parameter_paths`.
      apply: calls the model; it is traced, not run.
      field: where the patterns come from, for messages.

    Raises:
      UserError: a pattern matches nothing, or an activation inside of scanned layers.
    """
    shapes, scanned = {}, set()

    def note(name, output, is_scanned):
        shapes[name] = output.shape, output.dtype
        if is_scanned:
            scanned.add(name)
        return output

    with _each_activation(note):
        jax.eval_shape(apply)
    names = matching(patterns, shapes, field)
    if inside := [name for name in names if name in scanned]:
        raise UserError(
            f"{field} names {inside[0]}, which is computed by one scan over several layers, whose "
            "activations have no names of their own; switch model.model_params.scan_layers off."
        )
    return {name: jnp.zeros(*shapes[name]) for name in names}


@contextlib.contextmanager
def added(zeros: Zeros) -> Iterator[None]:
    """Adds what `zeros_for` returned to the activations of a model that is called inside.

    >>> model, images = nn.Sequential([nn.Dense(3), nn.relu]), jnp.ones((4, 5))
    >>> variables = model.init(jax.random.key(0), images)
    >>> def loss_fn(zeros):
    ...     with added(zeros):
    ...         return jnp.mean(model.apply(variables, images) ** 2)
    ...
    >>> zeros = zeros_for(["layers_0"], lambda: model.apply(variables, images))
    >>> print(jax.grad(loss_fn)(zeros)["layers_0"].shape)
    (4, 3)
    """
    if not zeros:
        yield
        return
    with _each_activation(
        lambda name, output, _: output + zeros[name] if name in zeros else output
    ):
        yield


@contextlib.contextmanager
def _each_activation(function):
    """Replaces what each module returns by `function(name, output, is_scanned)`."""
    calls = collections.Counter()
    whole_shapes, scanned_paths = {}, set()

    def intercept(call, args, kwargs, context):
        module = context.module
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        shapes = _parameter_shapes(module)
        if any(whole_shapes.setdefault(path, shape) != shape for path, shape in shapes.items()):
            scanned_paths.add(module.path)  # it sees one layer of parameters that are stacked
        output = call(*args, **kwargs)
        if not module.path or not _is_floating(output):
            return output
        path = "/".join(module.path)
        name = f"{path}:{calls[path]}" if calls[path] else path
        calls[path] += 1
        is_scanned = any(module.path[: len(outer)] == outer for outer in scanned_paths)
        return function(name, output, is_scanned)

    with nn.intercept_methods(intercept):
        yield


def _parameter_shapes(module):
    params = traverse_util.flatten_dict(module.variables.get("params", {}))
    return {module.path + path: jnp.shape(leaf) for path, leaf in params.items()}


def _is_floating(output):
    return isinstance(output, jax.Array) and jnp.issubdtype(output.dtype, jnp.floating)
