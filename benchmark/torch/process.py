"""PyTorch's side of `benchmark.step`, in a process of its own."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable

from benchmark.child import cause


class TorchProcess:
    """Contenders of `benchmark.torch.steps`, run by a Python that has torch.

    Attributes:
      version: torch's.
    """

    def __init__(self, python: str):
        """Starts it.

        Raises:
          RuntimeError: there is no such Python, or it has no torch.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, it lives as long as the process
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
        """A contender: takes so many steps, returns the seconds they took.

        Raises:
          RuntimeError: PyTorch cannot, or its model is not of this many parameters.
        """
        answer = self._ask({"prepare": name, **request})
        if answer["parameters"] != parameters:
            raise RuntimeError(f"{answer['parameters']:,} parameters instead of {parameters:,}")
        return lambda steps: self._ask({"run": name, "steps": steps})["seconds"]

    def forget(self) -> None:
        """Frees the memory of all contenders."""
        self._ask({})

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._errors.close()

    def _ask(self, request):
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(cause(self._errors.read()) or f"it ended with status {status}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
