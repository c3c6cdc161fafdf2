"""The command `gnp`, which runs all others: `gnp evaluate` is `python -m gnp.main.evaluate`."""

import runpy
import sys

import gnp
from gnp.errors import unknown_name

# By name: the module, and what the command does.
COMMANDS = {
    "train": ("main", "Trains a model, or resumes its training."),
    "evaluate": ("evaluate", "Measures errors, loss and calibration of a run on its test images."),
    "predict": ("predict", "Names the classes of image files."),
    "export": ("export", "Writes a trained model for jax.export, ONNX or safetensors."),
    "report": ("report", "Compares runs: a table with verdicts, pictures and a page."),
    "compare": ("compare", "Trains a config by several methods, and compares them."),
    "sweep": ("sweep", "Trains a config with all combinations of some values, and compares."),
    "diagnose": ("diagnose", "Finds exploding and vanishing gradients, layer by layer."),
    "sharpness": ("sharpness", "Measures the sharpness of the minimum that a run has found."),
    "landscape": ("landscape", "Draws the loss around a checkpoint, or between two."),
    "config": ("show_config", "Prints the fields of a config: name, value and meaning."),
    "models": ("models", "Lists the models with their sizes, or the layers of one."),
    "inspect_data": ("inspect_data", "Shows the model's input, or finds bad image files."),
    "convert": ("convert", "Converts weights to and from PyTorch files of timm."),
    "reproduction": ("reproduction", "Puts our test errors beside published ones."),
}


def main() -> None:
    """Runs the command that the first argument names, with the other arguments as its flags."""
    if sys.argv[1:] == ["--version"]:
        print(f"gnp {gnp.__version__}")
    elif sys.argv[1:] in (["--help"], ["-h"], ["help"]):
        print(_help())
    elif len(sys.argv) < 2:
        print(_help(), file=sys.stderr)
        sys.exit(2)
    elif sys.argv[1] not in COMMANDS:
        print(unknown_name("command", sys.argv[1], COMMANDS), file=sys.stderr)
        sys.exit(2)
    else:
        module, _ = COMMANDS[sys.argv.pop(1)]
        runpy.run_module(f"gnp.main.{module}", run_name="__main__", alter_sys=True)


def _help():
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "gnp COMMAND [--FLAG=VALUE ...]",
            "",
            *lines,
            "",
            "gnp COMMAND --help lists the flags of a command, gnp --version prints the version.",
        ]
    )
