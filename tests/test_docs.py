"""The code, fields, tables and links of the documentation are valid."""

import re
import subprocess
import sys

import numpy as np
import pytest

import gnp
from config import base
from gnp.ds_pipeline import build
from gnp.main.config import load_config
from gnp.model import registry
from gnp.optimizer.optimizers import optimizer_names
from gnp.optimizer.schedule import schedule_names
from gnp.regularization.warmup import strategy_names
from tests import registries
from tests.pages import NAMES, PAGES, blocks, check_field
from tests.test_quickstart import ROOT


def python_blocks():
    for page, name in zip(PAGES, NAMES, strict=True):
        if page.name == "tutorial.md":  # one program, see test_tutorial.py
            continue
        for index, block in enumerate(blocks(page, "python")):
            yield pytest.param(block, id=f"{name}-{index}")


@pytest.fixture(autouse=True)
def _forget_parts(monkeypatch):
    """Restricts what an example registers to its own test."""
    registries.forget_after(monkeypatch)


@pytest.mark.parametrize("code", list(python_blocks()))
def test_python_runs(code, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some train
    names = {"__name__": "example"}
    exec(code, names)
    if "penalized" in names:  # a training loop, which converges
        assert capsys.readouterr().out
        assert names["loss"] < 1e-3
    elif "loss" in names:
        assert np.isfinite(names["loss"])
    elif "precision" in names:
        assert 0 < names["precision"] <= 1
    elif "run" in names:
        assert names["found"].probabilities.shape == (2, 10)
    else:
        assert "get_config" in names or "load" in names or "@gnp.register_" in code


def example(page, text):
    """Returns the Python block of a page of docs/ that contains a text."""
    (code,) = [block for block in blocks(ROOT / "docs" / page, "python") if text in block]
    return code


def test_the_penalty_of_the_example_matches_its_comment():
    names = {}
    exec(example("extending.md", "orthogonality"), names)
    np.testing.assert_allclose(names["loss"], 0.01 / 4 * 3 * 9, rtol=1e-6)


def test_the_example_of_a_config_file_loads(tmp_path):
    (tmp_path / "flowers.py").write_text(example("features.md", "get_config"))
    config = load_config(str(tmp_path / "flowers.py"))
    assert config.opt.opt_params.weight_decay == 0.05


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_fields_exist(page):
    config = base.get_config()
    blocks_of_fields = "|".join(name for name, value in config.items() if hasattr(value, "items"))
    for field in re.findall(rf"`((?:{blocks_of_fields})\.[\w.]+)[`=]", page.read_text()):
        if re.match(r"gnp\.(errors|main|model|regularization|training|ds_pipeline)\b", field):
            continue  # a module of the package, not a field of the block gnp
        if field.removeprefix("gnp.") in gnp.__all__:
            continue  # a short name of the package
        check_field(field)


def table(page, heading):
    """Returns the rows, as lists of cells, of the table with this heading on a page of docs/."""
    text = (ROOT / "docs" / page).read_text()
    (found,) = [part for part in text.split("\n\n") if part.startswith(f"| {heading} |")]
    return [row.strip("|").split(" | ") for row in found.strip().splitlines()[2:]]


def names_in(text):
    return sorted(re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize(
    ("page", "heading", "column", "names"),
    [
        ("models.md", "family", 1, registry.model_names()),
        ("data.md", "`dataset.dataset_name`", 0, build.source_names()),
        ("optimizers.md", "`opt.opt_type`", 0, optimizer_names()),
        ("optimizers.md", "`lr_schedule_type`", 0, schedule_names()),
        ("optimizers.md", "`gr_warmup_strategy`", 0, strategy_names()),
    ],
)
def test_tables_contain_every_name(page, heading, column, names):
    assert names_in(" ".join(row[column] for row in table(page, heading))) == sorted(names)


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("`dataset.image_level_augmentations`", build.image_level_names()),
        ("`dataset.batch_level_augmentations`", build.batch_level_names()),
    ],
)
def test_the_table_of_augmentations_contains_every_name(field, names):
    (text,) = [what for cell, what in table("data.md", "augmentation") if field in cell]
    found = [name for name in names_in(text) if not name.startswith("dataset.")]
    assert found == sorted(names)


def test_every_difference_has_a_reason():
    rows = table("differences.md", "here")
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows)


def test_every_field_is_documented():
    text = "".join(page.read_text() for page in PAGES if page.name != "config.md")
    fields = base.get_config().to_dict()
    assert [field for field in leaves(fields) if not re.search(rf"\b{field}\b", text)] == []


def leaves(fields):
    for name, value in fields.items():
        yield from leaves(value) if isinstance(value, dict) and value else [name]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_are_valid(page):
    for target in re.findall(r"\]\(((?!https?:|#)[^)#]+)", page.read_text()):
        generated = target == "config.md"
        assert generated or (page.parent / target).exists(), target


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "-E", "docs", str(tmp_path)]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    fields = (tmp_path / "config.html").read_text()
    assert "label_smoothing" in fields
    assert "training images, &lt;synset&gt;/*.JPEG" in fields
    pages = {page.name: page.read_text() for page in tmp_path.glob("*.html")}
    for page in pages.values():  # everything is on the site itself
        assert not re.search(
            r"""(?:<script[^>]*src|<link[^>]*stylesheet[^>]*href)="https?:""", page
        )
    assert "<math" in pages["idea.html"]
    assert pages["api.html"].count("<math") > 40  # of the docstrings too
    assert "value_and_grad" in pages["api.html"]
    assert "Alias for field number" not in pages["api.html"]
    assert not re.search(r"lambda&gt;|&lt;function", pages["api.html"])  # defaults as written
    for text in ("_modules/gnp/main/run.html", "copybutton.js", "the gnp authors"):
        assert text in pages["api.html"]
