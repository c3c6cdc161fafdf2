"""The tutorial runs as a notebook, and its pictures and those of the gallery are small."""

import importlib.util
import pathlib
import re

import pytest

from tests.pages import blocks
from tests.test_quickstart import ROOT

PAGE, GALLERY = ROOT / "docs" / "tutorial.md", ROOT / "docs" / "gallery.md"

# The same names, found in the current folder first.
SMALL_CONFIG = """
from gnp.configs import {name}


def get_config():
    config = {name}.get_config()
    config.total_epochs = 2
    config.dataset.num_train_images = 128
    config.gnp.when.last_epoch = 1 if {is_one_pass} else None
    return config
"""


@pytest.fixture
def tutorial():
    """Returns the module docs/run_tutorial.py."""
    pytest.importorskip("jupytext")
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    spec = importlib.util.spec_from_file_location("run_tutorial", ROOT / "docs/run_tutorial.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_a_notebook_of_its_blocks(tutorial):
    cells = [cell.source for cell in tutorial.jupytext.read(PAGE).cells if cell.cell_type == "code"]
    commands = [f"%%bash\n{block}".strip() for block in blocks(PAGE, "bash")]
    assert sorted(cells) == sorted(commands + [c.strip() for c in blocks(PAGE, "python")])


@pytest.mark.slow
def test_it_runs(tutorial, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    (tmp_path / "config").mkdir()
    for name in ("digits_noise", "digits_noise_one_pass"):
        text = SMALL_CONFIG.format(name=name, is_one_pass="one_pass" in name)
        (tmp_path / "config" / f"{name}.py").write_text(text)
    monkeypatch.setattr(tutorial, "PAGE", tmp_path / "docs" / "tutorial.md")
    tutorial.PAGE.parent.mkdir()
    # Fewer points of the landscape, and products with the Hessian.
    text = PAGE.read_text().replace("15", "3")
    text = text.replace("--lanczos_steps=20 --trace_samples=10", "--lanczos_steps=2 --directions=1")
    text = text.replace("--directions=1", "--directions=1 --trace_samples=1 --ascent_steps=1")
    tutorial.PAGE.write_text(text)
    printed = tutorial.execute(tmp_path)
    assert [line.split(":")[0] for line in printed[1].splitlines()[-3:]] == [
        "standard",
        "penalized",
        "one pass",
    ]
    assert re.fullmatch(r"(\[\[\('\d', .*\)\]\]\n){2}", printed[-1])
    tutorial.keep_pictures(tmp_path)
    assert all((tutorial.PAGE.with_suffix("") / name).exists() for name in tutorial.pictures())


def test_pictures_are_small():
    shown = {
        PAGE.parent / name
        for page in (PAGE, GALLERY)
        for name in re.findall(r"\]\(([\w./]+\.png)\)", page.read_text())
    }
    kept = {
        file
        for folder in ("tutorial", "gallery")
        for file in (ROOT / "docs" / folder).rglob("*.png")
    }
    assert kept <= shown
    assert all(file.stat().st_size < 80_000 for file in shown)


def test_the_gallery_has_every_picture():
    names = set()
    for file in pathlib.Path(ROOT / "gnp").rglob("*.py"):
        names |= set(re.findall(r'(?:[A-Z] = |/ |"out", )"(\w+\.png)"', file.read_text()))
    assert len(names) >= 8
    names |= {"landscape_1d.png", "landscape_2d.png", "interpolation.png"}
    text = GALLERY.read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []
