"""The command that exports a run's model."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from jax import export as jax_export

from gnp.errors import UserError
from gnp.main import app
from gnp.main.config import load_config
from gnp.main.export import define_flags, main
from gnp.main.main import run
from gnp.main.run import load_run

ROOT = pathlib.Path(__file__).parents[2]


def call(**arguments):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        app.define(define_flags)
        for name, value in arguments.items():
            flags.FLAGS[name].value = str(value)
        main()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    fields = (
        "model.model_name=ViT_Micro",
        "dataset.num_train_images=128",
        "total_epochs=1",
        "ema_decay=0.9",
        "base_lr=1",
    )
    return run(load_config("config/digits.py", fields), tmp_path_factory.mktemp("runs"))


def images(count=3):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)


def probabilities(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weights", ["raw", "ema"])
def test_a_jax_file_predicts_what_the_run_predicts(trained, tmp_path, weights, capsys):
    call(run=trained, format="jax", out=tmp_path / "new" / "model.jax", weights=weights)
    assert "It takes images x 8 x 8 x 1, float32 from 0 to 255" in capsys.readouterr().out
    data = bytearray((tmp_path / "new" / "model.jax").read_bytes())
    logits = jax_export.deserialize(data).call(images().astype(np.float32))
    expected = load_run(trained, weights=weights).predict(images()).probabilities
    np.testing.assert_allclose(probabilities(np.asarray(logits)), expected, atol=1e-5)


def test_an_onnx_file_predicts_what_the_run_predicts(trained, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("jax2onnx", reason="needs the extra onnx")
    call(run=trained, format="onnx", out=tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run(["logits"], {"images": images().astype(np.float32)})
    expected = load_run(trained).predict(images()).probabilities
    np.testing.assert_allclose(probabilities(logits), expected, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_safetensors_file_has_timm_s_names_and_says_how_to_normalize(trained, tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors", reason="needs safetensors")
    call(run=trained, format="safetensors", out=tmp_path / "model.safetensors")
    with safetensors.safe_open(tmp_path / "model.safetensors", "np") as file:
        names, about = set(file.keys()), file.metadata()
        kernel = file.get_tensor("head.weight")
    assert {"blocks.1.attn.qkv.weight", "pos_embed", "head.bias"} <= names
    np.testing.assert_array_equal(kernel.T, load_run(trained).variables["params"]["head"]["kernel"])
    data = json.loads((trained / "data.json").read_text())
    assert json.loads(about["classes"]) == data["class_names"]
    assert json.loads(about["mean"]) == data["mean"]
    assert "module.act = timm.layers.GELUTanh()" in capsys.readouterr().out


def test_a_model_that_timm_lacks_keeps_our_names(tiny_run, tmp_path):
    safetensors = pytest.importorskip("safetensors", reason="needs safetensors")
    call(run=tiny_run, format="safetensors", out=tmp_path / "model.safetensors")
    with safetensors.safe_open(tmp_path / "model.safetensors", "np") as file:
        assert "batch_stats/BatchNorm_0/mean" in set(file.keys())


def test_an_earlier_file_is_replaced_and_that_is_said(trained, tmp_path, capsys):
    (tmp_path / "model.jax").write_text("old")
    call(run=trained, format="jax", out=tmp_path / "model.jax")
    assert "in the place of an earlier file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "jax", "out": "x"}, "--run is missing; name the folder of a run."),
        ({"run": "tests", "format": "jax", "out": "x"}, "{ROOT}/tests holds no config.json"),
        ({"run": "RUN", "out": "x"}, "--format is missing; choose one of jax, onnx, safetensors."),
        ({"run": "RUN", "format": "jax"}, "--out is missing; name the file to write."),
        ({"run": "RUN", "format": "jax", "out": "m.onnx"}, "--out is m.onnx, but --format is jax"),
        ({"run": "RUN", "format": "jax", "out": "tests"}, "--out is tests, which is a folder"),
        (
            {"run": "RUN", "format": "jax", "out": "x", "checkpoint": "7"},
            "Unknown checkpoint '7'",
        ),
    ],
)
def test_bad_input_is_one_sentence(trained, arguments, message):
    if arguments.get("run") == "RUN":
        arguments = arguments | {"run": trained}
    with pytest.raises(UserError, match=f"^{re.escape(message.format(ROOT=ROOT))}"):
        call(**arguments)
    assert not pathlib.Path("x").exists()


def test_bad_input_ends_the_command_with_code_2(tmp_path):
    code = "import sys, gnp.main.cli as cli; sys.argv = ['gnp', *sys.argv[1:]]; cli.main()"
    command = [sys.executable, "-c", code, "export", "--format=h5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "jax|onnx|safetensors" in result.stderr
