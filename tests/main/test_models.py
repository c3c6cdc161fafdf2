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
    models.print_table((8, 8, 1), num_classes=10, params={})
    header, bare, small = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "parameters", "multiply-adds", "layers"]
    assert bare.startswith("ViTBase ")
    assert "model.model_params" in bare
    assert small.split() == ["WideResNet_10_1", "75,002", "747,136", "8"]


def test_a_bare_model_with_its_fields():
    params = "--config.model.model_params."
    result = _run(
        "--name=ViTBase",
        "--num_classes=7",
        "--image_size=8",
        f"{params}patches.size=4",
        f"{params}hidden_size=16",
        f"{params}transformer.mlp_dim=24",
        f"{params}transformer.num_heads=2",
        f"{params}transformer.num_layers=1",
    )
    assert result.returncode == 0, result.stderr
    assert "[1,2,2,16]" in result.stdout
    assert "[1,7]" in result.stdout


def test_table_of_models_with_fields(monkeypatch, capsys):
    monkeypatch.setattr(models, "model_names", lambda: ["ViT_Micro", "WideResNet_10_1"])
    params = models.params_of_flags(["model.model_params.patches.size=4"])
    models.print_table((8, 8, 1), num_classes=7, params=params)
    _, vit, other = capsys.readouterr().out.splitlines()
    assert vit.split()[:2] == ["ViT_Micro", "18,119"]
    assert "Unknown parameter of model WideResNet_10_1 'patches'" in other


def test_other_fields_of_a_config_are_refused():
    result = _run("--config.dataset.num_classes=7")
    assert result.returncode == 2
    assert result.stderr.startswith("--config.dataset.num_classes=7 does not change a model")
