"""What README.md and the documents say works."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from config import base
from gnp.main.config import load_config
from tests.pages import NAMES, PAGES, blocks, check_field
from tests.test_quickstart import ROOT


def python_blocks():
    for page, name in zip(PAGES, NAMES, strict=True):
        for index, block in enumerate(blocks(page, "python")):
            yield pytest.param(block, id=f"{name}-{index}")


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
        assert "get_config" in names or "@register_model" in code


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
