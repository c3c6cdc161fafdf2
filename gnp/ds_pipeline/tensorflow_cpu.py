"""Tensorflow without accelerators, which belong to JAX. Import tensorflow only from here."""

import importlib
import importlib.util
import os
from types import ModuleType

from gnp.errors import missing_library


def is_installed() -> bool:
    """Whether there is tensorflow; does not load it."""
    return importlib.util.find_spec("tensorflow") is not None


def load(name: str = "tensorflow", instead: str = "") -> ModuleType:
    """Imports tensorflow or a package that builds on it.

    Args:
      name: of the package.
      instead: what else the user may do if it is not installed, such as "set FIELD to VALUE".

    Raises:
      UserError: it cannot be imported; says how to install it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same rounding on every processor
    try:
        importlib.import_module("tensorflow").config.set_visible_devices([], "GPU")
        return importlib.import_module(name)
    except ImportError as error:
        what = "This kind of data or augmentation"
        raise missing_library(what, name, "data", error, instead) from error
