"""Work in a process of its own: nothing that one contender loads is there for the next."""

import json
import re
import subprocess


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


def cause(errors: str) -> str:
    """The line of what a process wrote to standard error that says why it ended."""
    lines = errors.strip().splitlines() or [""]
    exceptions = [line for line in lines if re.match(r"[A-Za-z_][\w.]*: ", line)]
    return (exceptions or lines)[-1].strip()[:300]
