"""What a model raises when it is created or traced, as one sentence."""

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from gnp.errors import UserError, reason

# Where Python and installed packages are; a failure is shown where it left the files of others.
_INSTALLED = ("site-packages", "dist-packages", f"python{sys.version_info[0]}.")


@contextlib.contextmanager
def named(model: str, action: str) -> Iterator[None]:
    """Turns what happens inside into a `UserError`.

    Args:
      model: its name.
      action: what cannot be done with it, such as "created".
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # models, those of users too, raise anything
        raise UserError(
            f"Model {model} cannot be {action} ({place(error)}{type(error).__name__}: "
            f"{reason(error).rstrip('.')}); change model.model_params, or the model."
        ) from error


def place(error: BaseException) -> str:
    """Where an error left the files that are not installed, such as "mine.py line 3, "; or ""."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames[1:] if not any(part in f.filename for part in _INSTALLED)]
    return f"{Path(own[-1].filename).name} line {own[-1].lineno}, " if own else ""
