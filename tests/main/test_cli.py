"""The command that runs all others."""

import pathlib
import re
import subprocess
import sys

import gnp
from gnp.main import cli

MAIN = pathlib.Path(cli.__file__).parent


def call(*arguments):
    command = [sys.executable, "-m", "gnp", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_knows_every_command_there_is():
    programs = {path.stem for path in MAIN.glob("*.py") if "app.run(main" in path.read_text()}
    assert {module for module, _ in cli.COMMANDS.values()} == programs


def test_a_command_runs_with_its_flags():
    result = call("models", "--name=ViT_Micro", "--image_size=8")
    assert result.returncode == 0, result.stderr
    assert "ViT" in result.stdout


def test_without_a_command_all_are_described():
    result = call()
    assert result.returncode == 2
    assert result.stderr == call("--help").stdout


def test_an_unknown_command_is_one_sentence():
    result = call("trian")
    assert result.returncode == 2
    assert result.stderr.startswith("Unknown command 'trian'; known: train, ")
    assert len(result.stderr.splitlines()) == 1


def test_help_has_a_line_for_each_command():
    result = call("--help")
    assert result.returncode == 0
    for name, (_, what) in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", result.stdout, re.M)


def test_version():
    result = call("--version")
    assert (result.returncode, result.stdout) == (0, f"gnp {gnp.__version__}\n")


def test_help_of_training_lists_configs_and_groups_of_fields():
    result = call("train", "--help")
    assert result.returncode == 0
    assert "digits, digits_noise, " in result.stdout
    assert re.search(
        r"^  dataset\.\* +dataset_name, data_dir, \w+ and \d+ more$", result.stdout, re.M
    )
    assert "--working_dir" in result.stdout


def test_help_of_a_command_has_all_of_its_flags():
    shown = call("predict", "--help").stdout
    assert all(f"--{flag}:" in shown for flag in ("run", "checkpoint", "weights", "top", "out"))
