"""The command `gnp`, which runs all others: `gnp evaluate` is `python -m gnp.main.evaluate`."""

import runpy
import sys

COMMANDS = {
    "train": "main",
    "evaluate": "evaluate",
    "report": "report",
    "diagnose": "diagnose",
    "sharpness": "sharpness",
    "landscape": "landscape",
    "models": "models",
    "inspect_data": "inspect_data",
    "convert": "convert",
    "reproduction": "reproduction",
}


def main() -> None:
    """Runs the command that the first argument names, with the other arguments as its flags."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        asks_for_help = sys.argv[1:] in (["--help"], ["-h"], ["help"])
        print(
            f"gnp COMMAND [--FLAG=VALUE ...]; the commands are {', '.join(COMMANDS)}. "
            "gnp COMMAND --help lists the flags of a command.",
            file=sys.stdout if asks_for_help else sys.stderr,
        )
        sys.exit(0 if asks_for_help else 2)
    module = f"gnp.main.{COMMANDS[sys.argv.pop(1)]}"
    runpy.run_module(module, run_name="__main__", alter_sys=True)
