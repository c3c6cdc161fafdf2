"""Reading and writing named tensors in PyTorch (.pth, .pt, .bin) and safetensors files."""

import functools
import importlib
import json
import pathlib
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from gnp.errors import UserError, missing_library

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
# Training scripts save the tensors under one of these keys, beside other content.
_WRAPPERS = ("model", "state_dict")


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All tensors of a file as numpy arrays, floating-point ones as float32; runs no code in it.

    Raises:
      UserError: the file cannot be read, or the library that reads it is not installed.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give a local file of weights.")
    if path.suffix == ".safetensors":
        safetensors = _library("safetensors.numpy")
        arrays = _load(path, safetensors.load_file)
        return {name: _as_float32(array) for name, array in arrays.items()}
    torch = _library("torch")
    content = _load(path, functools.partial(torch.load, map_location="cpu", weights_only=True))
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds no tensors by name; save the model's state_dict().")
    return {
        name: tensor.to(torch.float32).numpy() if tensor.is_floating_point() else tensor.numpy()
        for name, tensor in content.items()
        if isinstance(tensor, torch.Tensor)
    }


def _load(path, load):
    try:
        return load(path)
    except Exception as error:  # both libraries raise many types on damaged files
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path} does not hold plain tensors ({reason}); save the model's state_dict() alone."
        ) from error


def _as_float32(array):
    return array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named tensors in the format of the path's suffix.

    Raises:
      UserError: the library that writes the format is not installed.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if path.suffix == ".safetensors":
        _library("safetensors.numpy").save_file(arrays, path)
    else:
        torch = _library("torch")
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)


def as_safetensors(arrays: Mapping[str, np.ndarray], about: Mapping[str, object]) -> bytes:
    """Named tensors in the format safetensors, and what `about` holds, as JSON, in its metadata.

    Raises:
      UserError: the library that writes the format is not installed.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = {name: json.dumps(value) for name, value in about.items()}
    return _library("safetensors.numpy").save(arrays, metadata=about)


def _library(module):
    name = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing_library("This kind of file", name, name, error) from error
