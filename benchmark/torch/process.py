"""Runs the PyTorch contenders of `benchmark.step` in a separate process."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable

from benchmark.subprocess_case import error_line


class TorchProcess:
    """A process of `benchmark.torch.steps`.

    Attributes:
      version: version of torch.
    """

    def __init__(self, python: str):
        """Starts the process.

        Raises:
          RuntimeError: the interpreter does not exist or has no torch.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, open while the process runs
        try:
            self._process = subprocess.Popen(
                [python, "-m", "benchmark.torch.steps"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        except OSError as error:
            raise RuntimeError(str(error)) from error
        self.version: str = self._ask({})["torch"]

    def prepare(self, name: str, *, parameters: int, **request) -> Callable[[int], float]:
        """Returns a function that takes a number of steps and returns their seconds.

        Raises:
          RuntimeError: PyTorch failed, or its model has another number of parameters.
        """
        answer = self._ask({"prepare": name, **request})
        if answer["parameters"] != parameters:
            raise RuntimeError(f"{answer['parameters']:,} parameters instead of {parameters:,}")
        return lambda steps: self._ask({"run": name, "steps": steps})["seconds"]

    def forget(self) -> None:
        """Frees the memory of all contenders."""
        self._ask({})

    def close(self) -> None:
        """Stops the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._errors.close()

    def _ask(self, request):
        with contextlib.suppress(BrokenPipeError):  # the missing answer is handled below
            print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(error_line(self._errors.read()) or f"it ended with status {status}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
