"""Reading pickled data without running what it says."""

import pickle
from pathlib import Path

from gnp.errors import UserError

# What a pickled array consists of. Nothing else may be named by the file, so nothing else runs.
_ADMITTED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load_arrays(path: Path) -> object:
    """Reads a pickle of numpy arrays and plain containers; strings of Python 2 come as bytes.

    Raises:
      UserError: the file is damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="bytes").load()
    except Exception as error:  # damaged pickles fail in nearly any way
        raise UserError(
            f"{path} is refused: expected a pickle of arrays, lists and dictionaries alone, but "
            f"{error or type(error).__name__}; fetch it again from where it is published."
        ) from error
