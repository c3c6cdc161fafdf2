"""The command that lists the models."""

import subprocess
import sys


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gnp.main.models", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_model_layer_by_layer():
    result = _run("--name=WideResNet_10_1", "--image_size=8", "--num_channels=1")
    assert result.returncode == 0, result.stderr
    assert "WideResNetBlock_2" in result.stdout
    assert "[1,2,2,64]" in result.stdout


def test_unknown_model():
    result = _run("--name=WideResNet_10_2")
    assert result.returncode == 2
    assert result.stderr.startswith("Unknown model 'WideResNet_10_2'; known: WideResNet_")
    assert "Traceback" not in result.stderr
