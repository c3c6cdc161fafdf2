"""Command-line options that several benchmarks share."""

import argparse
import sys
from collections.abc import Callable, Collection


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Returns an empty parser for `python -m benchmark.MODULE`."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmark.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_dtype(parser: argparse.ArgumentParser, default: str = "float32") -> None:
    """Adds --dtype, the type of activations and products."""
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default=default)


def add_torch_python(parser: argparse.ArgumentParser) -> None:
    """Adds --torch_python, the interpreter of the PyTorch contenders."""
    parser.add_argument("--torch_python", default=sys.executable, help="a Python that has torch")


def names(known: Collection[str]) -> Callable[[str], list[str]]:
    """Returns the type of an option that takes some of the known names, separated by commas."""

    def parse(text):
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(known)}"
            )
        return chosen

    return parse
