"""A disk that is full, without filling one."""

import contextlib
import resource


@contextlib.contextmanager
def files_of_at_most(size):
    """Writing more fails, as it does on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
