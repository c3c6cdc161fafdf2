"""Tensors by name in files of PyTorch (.pth, .pt, .bin) and safetensors, as numpy arrays."""

import importlib
import pathlib
import pickle
from collections.abc import Mapping

import numpy as np

from gnp.errors import UserError

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
# Training scripts put the tensors under one of these beside what else they save.
_WRAPPERS = ("model", "state_dict")


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All tensors of a file; no code in it is run.

    Raises:
      UserError: the file cannot be read, or what reads it is not installed.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give a local file of weights.")
    if path.suffix == ".safetensors":
        return _library("safetensors.numpy").load_file(path)
    torch = _library("torch")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} does not hold plain tensors ({reason}); save the model's state_dict() alone."
        ) from error
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


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes tensors by name, in the format of the path's suffix.

    Raises:
      UserError: what writes that format is not installed.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if path.suffix == ".safetensors":
        _library("safetensors.numpy").save_file(arrays, path)
    else:
        torch = _library("torch")
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)


def _library(module):
    name = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"Such files need {name}; install it with `pip install {name}`.") from error
