"""Files with a model's weights and the arguments that create the model."""

import dataclasses
import json
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from gnp.errors import UserError, reason
from gnp.model import failures
from gnp.model.registry import create_model

_ABOUT = "about"

# Raised by numpy, json and zipfile for files that are truncated, damaged or of another format.
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    RecursionError,
)
_UNREADABLE += (NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class Weights:
    """A trained model.

    Attributes:
      name: of a registered model.
      num_outputs: number of classes.
      image_shape: height, width and channels of its input.
      model_params: fields of the model's constructor.
      variables: parameters and, if the model has batch norms, their statistics.
      class_names: in the order of the outputs; None: unknown.
    """

    name: str
    num_outputs: int
    image_shape: tuple[int, int, int]
    model_params: Mapping[str, Any]
    variables: Mapping[str, Any]
    class_names: Sequence[str] | None = None

    def model(self) -> nn.Module:
        """The model that `variables` belong to."""
        return create_model(self.name, self.num_outputs, **self.model_params)


def variable_shapes(model: nn.Module, image_shape: tuple[int, int, int]) -> dict:
    """Shapes and types of a model's variables, by tracing.

    Raises:
      UserError: the model does not take such images.
    """
    with failures.named(type(model).__name__, f"applied to images of {image_shape}"):
        images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        key = jax.eval_shape(lambda: jax.random.key(0))
        return jax.eval_shape(lambda key, images: model.init(key, images, train=False), key, images)


def flat_arrays(weights: Weights) -> dict[str, Any]:
    """The variables by their paths, such as `params/head/kernel`."""
    return traverse_util.flatten_dict(weights.variables, sep="/")


def save_weights(path: pathlib.Path, weights: Weights) -> None:
    """Writes a .npz file with one array per variable, named by its path: `params/head/kernel`."""
    arrays = flat_arrays(weights)
    about = {
        "name": weights.name,
        "num_outputs": weights.num_outputs,
        "image_shape": weights.image_shape,
        "model_params": weights.model_params,
    }
    if weights.class_names is not None:
        about["class_names"] = list(weights.class_names)
    with pathlib.Path(path).open("wb") as file:
        np.savez(file, **{_ABOUT: json.dumps(about)}, **arrays)


def load_weights(path: pathlib.Path) -> Weights:
    """Reads what `save_weights` wrote.

    Raises:
      UserError: the file is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop(_ABOUT)))
        about["image_shape"] = tuple(about["image_shape"])
        weights = Weights(**about, variables=traverse_util.unflatten_dict(arrays, sep="/"))
        _check_types(weights, arrays)
        return weights
    except _UNREADABLE as error:
        raise UserError(
            f"{path} is not a file of weights ({reason(error)}); give a .npz file that "
            "gnp.main.convert has written."
        ) from error


def _check_types(weights, arrays):
    """Raises a ValueError unless a file holds what `save_weights` writes."""
    names = weights.class_names
    are_names = names is None or (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    )
    sides = (weights.num_outputs, *weights.image_shape)
    for what, is_right in {
        "name": isinstance(weights.name, str),
        "num_outputs or image_shape": len(sides) == 4 and all(type(n) is int for n in sides),
        "model_params": isinstance(weights.model_params, dict),
        "class_names": are_names,
        "params": isinstance(weights.variables.get("params"), dict),
    }.items():
        if not is_right:
            raise ValueError(f"its {what} are of another type")
    for path, array in arrays.items():
        if not jnp.issubdtype(array.dtype, jnp.number):
            raise ValueError(f"{path} holds no numbers")
