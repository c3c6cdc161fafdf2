"""What README.md and the documents say works."""

import json
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from config import base
from gnp.ds_pipeline import build
from gnp.main.config import load_config
from gnp.main.main import run
from gnp.model import registry
from tests.pages import NAMES, PAGES, blocks, check_field, commands
from tests.test_quickstart import ROOT


def python_blocks():
    for page, name in zip(PAGES, NAMES, strict=True):
        for index, block in enumerate(blocks(page, "python")):
            yield pytest.param(block, id=f"{name}-{index}")


@pytest.fixture(autouse=True)
def _forget_models(monkeypatch):
    """Models that an example registers are known to its own test alone."""
    registry.model_names()  # registers those of the project
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))


@pytest.mark.parametrize("code", list(python_blocks()))
def test_python_runs(code, capsys):
    names = {"__name__": "example"}
    exec(code, names)
    if "penalized" in names:  # a training loop, which comes to the minimum
        assert capsys.readouterr().out
        assert names["loss"] < 1e-3
    elif "loss" in names:
        assert np.isfinite(names["loss"])
    else:
        assert "get_config" in names or "load" in names or "@register_model" in code


def example(page, text):
    """The block of Python of a page of docs/ that holds a text."""
    (code,) = [block for block in blocks(ROOT / "docs" / page, "python") if text in block]
    return code


def train_as_documented(text, folder):
    """Gives the command of extending.md that holds a text, for one short epoch."""
    page = ROOT / "docs" / "extending.md"
    (words,) = [words for _, words in commands(page) if text in " ".join(words)]
    file = next(word for word in words if word.startswith("--config=")).removeprefix("--config=")
    fields = [word.removeprefix("--config.") for word in words if word.startswith("--config.")]
    fields += ["total_epochs=1", "dataset.num_train_images=64"]
    run(load_config(file, fields), folder / "runs")
    (summary,) = folder.glob("runs/**/summary.json")
    return json.loads(summary.read_text())


@pytest.mark.usefixtures("_compile_fast")
def test_the_model_of_the_example_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "gnp_models_my_models", raising=False)
    pathlib.Path("my_models.py").write_text(example("extending.md", "TinyNet"))
    assert train_as_documented("TinyNet", tmp_path)["steps"] == 1


@pytest.mark.usefixtures("_compile_fast")
def test_the_data_source_of_the_example_is_trained_on(tmp_path, monkeypatch):
    module = types.ModuleType("gnp.ds_pipeline.discs")
    exec(example("extending.md", "Gray discs"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(build._SOURCES, "discs", "discs")
    assert train_as_documented("dataset_name=discs", tmp_path)["steps"] == 1


def test_the_penalty_of_the_example_is_what_its_comment_says():
    names = {}
    exec(example("extending.md", "orthogonality"), names)
    np.testing.assert_allclose(names["loss"], 0.01 / 4 * 3 * 9, rtol=1e-6)


def test_the_example_of_a_config_file_loads(tmp_path):
    (code,) = [block for block in blocks(PAGES[0], "python") if "get_config" in block]
    (tmp_path / "flowers.py").write_text(code)
    config = load_config(str(tmp_path / "flowers.py"))
    assert config.opt.opt_params.weight_decay == 0.05


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_fields_exist(page):
    config = base.get_config()
    blocks_of_fields = "|".join(name for name, value in config.items() if hasattr(value, "items"))
    for field in re.findall(rf"`((?:{blocks_of_fields})\.[\w.]+)[`=]", page.read_text()):
        if re.match(r"gnp\.(errors|main|model|regularization|training|ds_pipeline)\b", field):
            continue  # a module of the package, which shares its name with a block of fields
        check_field(field)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(((?!https?:|#)[^)#]+)", page.read_text()):
        generated = target == "config.md"
        assert generated or (page.parent / target).exists(), target


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "-E", "docs", str(tmp_path)]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "label_smoothing" in (tmp_path / "config.html").read_text()
    assert "value_and_grad" in pathlib.Path(tmp_path / "api.html").read_text()
