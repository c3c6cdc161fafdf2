"""The size of a model, found by tracing without computing or allocating anything."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util
from jax.extend import core

from gnp.files import read_json
from gnp.model import failures

# Sizes that were measured before, as tracing all models takes a minute; written by
# `python -m tests.model.test_kept_sizes`.
KEPT_SIZES_FILE = pathlib.Path(__file__).with_name("sizes.json")
KEPT_IMAGE_SHAPE, KEPT_CLASSES = (32, 32, 3), 10


@dataclasses.dataclass(frozen=True)
class ModelSize:
    """Counts for one image.

    Attributes:
      parameters: number of trained parameters, without the running statistics of batch norms.
      multiply_adds: of all convolutions and matrix products in one forward pass.
      layers: number of convolutions and dense layers; a scanned stack counts as one block.
    """

    parameters: int
    multiply_adds: int
    layers: int


def measure(model: nn.Module, image_shape: tuple[int, int, int]) -> ModelSize:
    """Measures a model.

    Args:
      model: called as `model(images, train=False)`.
      image_shape: height, width and channels.

    Raises:
      UserError: the model does not take such images.
    """
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def create(key, images):
        return model.init_with_output(key, images, train=False)

    with failures.named(type(model).__name__, f"applied to images of {image_shape}"):
        jaxpr, (_, variables) = jax.make_jaxpr(create, return_shape=True)(key, image)
        params = traverse_util.flatten_dict(variables["params"])
    return ModelSize(
        parameters=sum(math.prod(leaf.shape) for leaf in params.values()),
        multiply_adds=_multiply_adds(jaxpr.jaxpr),
        layers=sum(path[-1] == "kernel" for path in params),
    )


@functools.cache
def kept_sizes() -> dict[str, ModelSize]:
    """The sizes of the models, by name, for `KEPT_IMAGE_SHAPE` and `KEPT_CLASSES`.

    A model that does not take such images, or has no such size of its own, is not among them.
    """
    return {name: ModelSize(**size) for name, size in read_json(KEPT_SIZES_FILE).items()}


def _multiply_adds(jaxpr: core.Jaxpr) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation) -> int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        sizes = equation.invars[0].aval.shape
        return math.prod(equation.outvars[0].aval.shape) * math.prod(sizes[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        outputs = kernel[parameters["dimension_numbers"].rhs_spec[0]]
        return math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) // outputs
    times = parameters["length"] if name == "scan" else 1
    return times * sum(_multiply_adds(inner) for inner in _inner_jaxprs(parameters))


def _inner_jaxprs(parameters) -> Iterator[core.Jaxpr]:
    for value in jax.tree.leaves(
        list(parameters.values()), is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr)
    ):
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value
