"""The command that lists the models."""

import subprocess
import sys

from gnp.main import models


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


def test_table(monkeypatch, capsys):
    monkeypatch.setattr(models, "model_names", lambda: ["ViTBase", "WideResNet_10_1"])
    models.print_table((8, 8, 1), num_classes=10)
    header, bare, small = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "parameters", "multiply-adds", "layers"]
    assert bare.startswith("ViTBase ")
    assert "model.model_params" in bare
    assert small.split() == ["WideResNet_10_1", "75,002", "747,136", "8"]
