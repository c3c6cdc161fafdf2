"""Reading pickles without executing code in them."""

import pickle
from pathlib import Path

from gnp.errors import UserError

# The names in a pickled array. A file that names anything else is refused, so nothing else runs.
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
    """Reads a pickle of numpy arrays and plain containers; strings of Python 2 become bytes.

    Raises:
      UserError: the file is damaged, or has other content.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="bytes").load()
    except Exception as error:  # damaged pickles raise many types
        raise UserError(
            f"{path} is refused: expected a pickle of arrays, lists and dictionaries only, but "
            f"{error or type(error).__name__}; download it again."
        ) from error
