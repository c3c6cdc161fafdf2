"""Work in a process of its own: nothing that one contender loads is there for the next."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping

from benchmark.timing import rotated


def ask(python: str, module: str, **request) -> dict:
    """What `python -m module REQUEST` prints as its last line; request and answer are JSON.

    Raises:
      RuntimeError: it failed; the message is the error that it ended with.
    """
    command = [python, "-m", module, json.dumps(request)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(str(error)) from error
    if done.returncode:
        raise RuntimeError(cause(done.stderr) or f"it ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def rates_in_turns(
    contenders: Mapping[str, Callable[[], dict]],
    *,
    rounds: int,
    rate: str = "images_per_second",
) -> tuple[dict[str, list], dict[str, str]]:
    """The rate of each contender in each round, and the versions of what they use.

    The first of a round is another one each time. One that cannot run is left out, and standard
    error says why.

    Args:
      contenders: name -> a function that returns its rate and versions, as `ask` does.
      rounds: number of turns of each.
      rate: what it is called in the answers.
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


def cause(errors: str) -> str:
    """The line of what a process wrote to standard error that says why it ended."""
    lines = errors.strip().splitlines() or [""]
    exceptions = [line for line in lines if re.match(r"[A-Za-z_][\w.]*: ", line)]
    return (exceptions or lines)[-1].strip()[:300]
