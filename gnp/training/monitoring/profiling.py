"""A trace of some steps, which TensorBoard's profile plugin and XProf open."""

import contextlib
import logging
import pathlib
import re
from collections.abc import Callable, Iterator

import jax

from gnp.errors import UserError

PROFILE_FOLDER = "profile"

_log = logging.getLogger(__name__)


def steps_to_profile(text: str) -> range:
    """The steps that the config's `profile_steps` means, "first:last"; none for "".

    Raises:
      UserError: the text is neither.
    """
    if not text:
        return range(0)
    match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise UserError(
            f"profile_steps is {text!r}; it must be the first and the last step to trace, "
            "counted from 1, such as 100:110."
        )
    return range(first, last + 1)


class Profiler:
    """Traces some steps of a run, once."""

    def __init__(self, steps: range, folder: pathlib.Path, wait: Callable[[], None]):
        """Args:
        steps: their numbers; those that an earlier start of the run took are not traced.
        folder: the run's folder, which the trace goes into.
        wait: waits for the steps under way, so that the trace has these steps and no others.
        """
        self._steps = steps
        self._folder = folder / PROFILE_FOLDER
        self._wait = wait
        self._is_tracing = False

    @contextlib.contextmanager
    def steps(self, numbers: range) -> Iterator[None]:
        """Traces the steps that are taken inside together, if some of them are to be traced."""
        if not any(number in self._steps for number in numbers):
            yield
            return
        if not self._is_tracing:
            self._wait()
            jax.profiler.start_trace(self._folder)
            self._is_tracing = True
        with jax.profiler.StepTraceAnnotation("train", step_num=numbers[-1]):
            yield
        if numbers[-1] >= self._steps[-1]:
            self.close()

    def close(self) -> None:
        """Writes the trace, if one is being made."""
        if self._is_tracing:
            self._wait()
            self._is_tracing = False
            try:
                jax.profiler.stop_trace()
            except (OSError, RuntimeError) as error:  # such as a full disk
                _log.warning("The profile cannot be written; training continues. (%s)", error)
