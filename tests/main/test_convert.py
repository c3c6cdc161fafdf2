"""The command that converts weights."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import optax
import pytest
from absl import flags
from absl.testing import flagsaver

from gnp.errors import UserError
from gnp.main import app
from gnp.main.config import load_config
from gnp.main.convert import define_flags, main, weights_of_run
from gnp.main.main import run
from gnp.model import torch_file
from gnp.model.timm_weights import to_timm
from gnp.model.weights import load_weights

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
    working_dir = tmp_path_factory.mktemp("runs")
    overrides = (
        "model.model_name=ViT_Micro",
        "dataset.num_train_images=128",
        "total_epochs=1",
    )
    run(load_config("config/digits.py", overrides), working_dir)
    (config,) = working_dir.rglob("config.json")
    return config.parent


def test_weights_of_a_run_are_those_it_ended_with(trained):
    weights = weights_of_run(trained)
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    last = [line["train/parameter_norm"] for line in lines if "train/parameter_norm" in line][-1]
    norm = optax.tree.norm(weights.variables["params"])
    np.testing.assert_allclose(norm, last, rtol=1e-5)


def test_the_model_of_a_run_is_made_as_the_run_made_it(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    fields = json.loads(file.read_text()) | {"use_additional_skip_connections_in_wrn": True}
    file.write_text(json.dumps(fields))
    params = weights_of_run(tmp_path / "run").model_params
    assert params == {"use_additional_skip_connections": True}


def test_a_run_becomes_a_file(trained, tmp_path, capsys):
    call(input=trained, output=tmp_path / "weights.npz")
    printed = capsys.readouterr().out
    assert "holds create_model('ViT_Micro', num_outputs=10) for images of 8x8x1." in printed
    assert load_weights(tmp_path / "weights.npz").image_shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input": "a.npz", "output": "b.h5"}, "b.h5 has none of the suffixes .npz, .pth"),
        ({"input": "missing.npz", "output": "b.npz"}, "missing.npz is not a file of weights"),
        ({"input": "a.pth", "output": "b.npz"}, "--model is missing; name our model"),
        ({"input": "a.pth", "output": "b.npz", "model": "ViT_S16"}, "There is no file a.pth"),
        ({"input": "tests", "output": "b.npz"}, "tests is not the folder of a run"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        call(**arguments)


def test_bad_input_ends_the_command_with_code_2():
    command = [sys.executable, "-m", "gnp.main.convert"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "--input=FILE and --output=FILE are both needed.\n"


def test_without_torch_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r'needs torch, .* pip install "gnp-jax\[torch\]"'):
        torch_file.write(tmp_path / "weights.pth", {})


def test_it_says_how_timm_s_model_gets_the_tanh_form_of_gelu(trained, tmp_path, capsys):
    pytest.importorskip("torch")
    call(input=trained, output=tmp_path / "weights.pth")
    assert "module.act = timm.layers.GELUTanh()" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_of_tensors(suffix, tmp_path, trained):
    pytest.importorskip("torch" if suffix == ".pth" else "safetensors")
    arrays = to_timm(weights_of_run(trained))
    torch_file.write(tmp_path / f"weights{suffix}", arrays)
    again = torch_file.read(tmp_path / f"weights{suffix}")
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_a_file_with_code_in_it_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"model": pathlib.PurePath}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth does not hold plain tensors"):
        torch_file.read(tmp_path / "weights.pth")


def test_a_training_script_s_file(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {"head.weight": torch.ones(2, 3, dtype=torch.float16), "steps": 7}
    torch.save({"model": tensors, "epoch": 3}, tmp_path / "weights.pth")
    (array,) = torch_file.read(tmp_path / "weights.pth").values()
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.ones((2, 3)))


def test_half_precision_becomes_float32(tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    for dtype in (torch.float16, torch.bfloat16):
        tensors = {"weight": torch.ones(2, 3, dtype=dtype), "steps": torch.tensor([7])}
        safetensors.save_file(tensors, tmp_path / "weights.safetensors")
        arrays = torch_file.read(tmp_path / "weights.safetensors")
        assert arrays["weight"].dtype == np.float32
        np.testing.assert_array_equal(arrays["weight"], np.ones((2, 3)))
        assert arrays["steps"].dtype == np.int64


@pytest.mark.parametrize("suffix", torch_file.SUFFIXES)
@pytest.mark.parametrize("content", ["", "hello", "no tensors, but a text of some length"])
def test_a_broken_file(suffix, content, tmp_path):
    pytest.importorskip("safetensors" if suffix == ".safetensors" else "torch")
    path = tmp_path / f"weights{suffix}"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"weights{re.escape(suffix)} does not hold plain tensors"):
        torch_file.read(path)


def test_a_file_without_names(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.ones(2), tmp_path / "weights.pth")
    with pytest.raises(UserError, match="holds no tensors by name"):
        torch_file.read(tmp_path / "weights.pth")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_that_cannot_be_written_is_one_sentence(trained, tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    target = tmp_path / f"weights{suffix}"
    target.mkdir()
    with pytest.raises(UserError, match=rf"weights{suffix} cannot be written \(Is a directory\)"):
        call(input=trained, output=target)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    with pytest.raises(UserError, match=r"/proc/x\.npz cannot be written"):
        call(input=trained, output="/proc/x.npz")


def test_a_run_with_a_model_of_ones_own_is_converted(tiny_run, tmp_path):
    call(input=tiny_run, output=tmp_path / "weights.npz")
    assert load_weights(tmp_path / "weights.npz").name == "NetToLookInto"
