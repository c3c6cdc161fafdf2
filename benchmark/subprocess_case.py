"""Runs one case of a benchmark in a fresh process, where no other case has loaded anything."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping

from benchmark.timing import rotated


def run_case(python: str, module: str, **request) -> dict:
    """Runs `python -m module REQUEST` and returns the JSON object on its last line of output.

    REQUEST is a JSON object too; the module reads it by `answer_request`.

    Raises:
      RuntimeError: the process failed; the message is its error.
    """
    command = [python, "-m", module, json.dumps(request)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(str(error)) from error
    if done.returncode:
        raise RuntimeError(error_line(done.stderr) or f"it ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def answer_request(figure: str, measure: Callable, **modules: str) -> None:
    """Prints the answer to `run_case`: a figure, and versions of packages.

    Args:
      figure: its name in the answer.
      measure: returns the figure; it is called with the request.
      **modules: name in the answer -> module whose version is reported if it was imported.
    """
    answer = {figure: measure(**json.loads(sys.argv[1]))}
    for name, module in modules.items():
        if imported := sys.modules.get(module):
            answer[name] = imported.__version__
    print(json.dumps(answer))


def describe_machine() -> dict:
    """Returns `machine.describe()` of another process, so that this one holds no accelerator."""
    return run_case(sys.executable, "benchmark.machine")


def rates_in_rounds(
    contenders: Mapping[str, Callable[[], dict]],
    *,
    rounds: int,
    rate: str = "images_per_second",
) -> tuple[dict[str, list], dict[str, str]]:
    """Returns the rate of each contender in each round, and the versions of packages.

    Each round starts with another contender. A contender that fails is dropped, and standard error
    says why.

    Args:
      contenders: name -> function that returns an answer of `run_case`.
      rounds: runs of each contender.
      rate: name of the rate in the answers.
    """
    rates, versions = {name: [] for name in contenders}, {}
    for index in range(rounds):
        for name in rotated(list(rates), index):
            try:
                answer = contenders[name]()
            except RuntimeError as error:
                print(f"No figure of {name}: {error}", file=sys.stderr)
                del rates[name]
            else:
                rates[name].append(answer.pop(rate))
                versions |= answer
    return rates, versions


def error_line(errors: str) -> str:
    """Returns the line of a process's standard error that says why it failed."""
    lines = errors.strip().splitlines() or [""]
    exceptions = [line for line in lines if re.match(r"[A-Za-z_][\w.]*: ", line)]
    return (exceptions or lines)[-1].strip()[:300]
