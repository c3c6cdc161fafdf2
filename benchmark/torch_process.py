"""PyTorch's side of a comparison, in a process of its own."""

import json
import subprocess
from collections.abc import Callable


class TorchProcess:
    """Contenders of `benchmark.torch_steps`, run by a Python that has torch.

    Attributes:
      version: torch's version, known after the first contender.
    """

    def __init__(self, python: str):
        self._process = subprocess.Popen(
            [python, "-m", "benchmark.torch_steps"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version: str | None = None

    def prepare(self, name: str, *, parameters: int, **request) -> Callable[[int], float]:
        """A contender: takes so many steps, returns the seconds they took.

        Raises:
          RuntimeError: PyTorch cannot, or its model is not of this many parameters.
        """
        answer = self._ask({"prepare": name, **request})
        self.version = answer["torch"]
        if answer["parameters"] != parameters:
            raise RuntimeError(f"{answer['parameters']:,} parameters instead of {parameters:,}")
        return lambda steps: self._ask({"run": name, "steps": steps})["seconds"]

    def forget(self) -> None:
        """Frees the memory of all contenders."""
        self._ask({})

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, request):
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of PyTorch has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
