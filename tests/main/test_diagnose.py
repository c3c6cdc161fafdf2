"""The command that looks into a network."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from gnp.diagnostics.layer_chain import find_layers
from gnp.main.config import load_config
from gnp.main.diagnose import diagnose
from gnp.main.saved import saved_run
from gnp.model import create_model
from gnp.model.scanned_blocks import in_plain_layers
from gnp.regularization import tree
from gnp.runs.metrics import read_metrics
from gnp.training.monitoring import progress

FIELDS = ("logging.layer_norms_every=1",)


def open_run(folder, *fields):
    settings = load_config(str(folder / "config.json"), [*FIELDS, *fields])
    return saved_run.load_run(folder, settings, "2", evaluate_on_train=True)


def test_norms_are_those_of_the_step_that_comes_next(tiny_run):
    run = open_run(tiny_run)
    before = jax.device_get(run.state.params)
    layers = diagnose(run)["layers"]
    (line,) = [m for m in read_metrics(tiny_run / "metrics.jsonl") if m["step"] == 3]

    def total(kind):
        return np.linalg.norm([norms[kind] for norms in layers.values()])

    assert total("parameter_norm") == pytest.approx(float(tree.global_norm(before)), rel=1e-5)
    assert total("gradient_norm") == pytest.approx(line["train/gradient_norm_mixed"], rel=1e-4)
    assert 0 < total("update_norm") < line["train/learning_rate"] * total("gradient_norm") * 10
    assert list(layers) == ["BatchNorm_0", "Conv_0", "Dense_0", "Dense_1"]
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(run.state.params), before)


def test_the_chain_and_the_activations_are_there(tiny_run, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LONG_INTERVAL", 0)
    figures = diagnose(open_run(tiny_run, "dataset.loader=device"))
    assert "4 of 4 layers, 00:00 left" in capsys.readouterr().err
    assert figures["chain"]["names"] == ["Conv_0", "BatchNorm_0", "Dense_0", "Dense_1"]
    assert figures["chain"]["verdict"] == "healthy"
    assert 0 < figures["activations"]["Dense_1"]["zeros"] < 1
    assert figures["num_images"] == 64
    assert figures["step"] == 2


@pytest.mark.parametrize("switch", ["scan_layers", "remat"])
def test_scans_and_remat_are_taken_apart(switch):
    images = jax.random.normal(jax.random.PRNGKey(0), (2, 8, 8, 1))
    model = create_model("ViT_Micro", 10, **{switch: True})
    params = model.init(jax.random.PRNGKey(1), images, train=False)["params"]
    kernel = params["head"]["kernel"]  # it starts at zero
    params["head"]["kernel"] = jax.random.normal(jax.random.PRNGKey(2), kernel.shape)
    plain, plain_params = in_plain_layers(model, params)
    logits = model.apply({"params": params}, images, train=False)
    variables = {"params": plain_params}
    np.testing.assert_allclose(
        plain.apply(variables, images, train=False), logits, rtol=1e-4, atol=1e-5
    )
    names = [layer.name for layer in find_layers(plain, variables, images)]
    assert names[:2] == ["patch_embed", "blocks/0"]


def test_a_config_without_a_run_is_looked_into(tmp_path):
    model = __file__.replace("test_diagnose.py", "small_models.py")
    command = [sys.executable, "-m", "gnp.main.diagnose", "--config=config/digits.py"]
    command += ["--config.model.model_name=NetToLookInto", f"--config.model.model_module={model}"]
    result = subprocess.run(
        [*command, f"--out={tmp_path}"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "The gradient is healthy" in result.stdout
    assert json.loads((tmp_path / "diagnose.json").read_text())["step"] == 0
    assert (tmp_path / "diagnose.png").stat().st_size > 0


def test_something_to_look_into_must_be_named():
    command = [sys.executable, "-m", "gnp.main.diagnose"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.partition(";")[0]) == (
        2,
        "--run=RUN_FOLDER or --config=FILE is needed",
    )
