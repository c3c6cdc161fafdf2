"""The command that runs all others."""

import pathlib
import subprocess
import sys

import pytest

from gnp.main import cli

MAIN = pathlib.Path(cli.__file__).parent


def call(*arguments):
    command = [sys.executable, "-m", "gnp", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_knows_every_command_there_is():
    programs = {path.stem for path in MAIN.glob("*.py") if "app.run(main" in path.read_text()}
    assert set(cli.COMMANDS.values()) == programs


def test_a_command_runs_with_its_flags():
    result = call("models", "--name=ViT_Micro", "--image_size=8")
    assert result.returncode == 0, result.stderr
    assert "ViT" in result.stdout


@pytest.mark.parametrize("arguments", [(), ("trian",)])
def test_without_a_known_command_it_names_all(arguments):
    result = call(*arguments)
    assert result.returncode == 2
    assert "train, evaluate" in result.stderr


def test_help_is_no_mistake():
    result = call("--help")
    assert result.returncode == 0
    assert "train, evaluate" in result.stdout
