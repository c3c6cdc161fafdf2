"""What `pip install` gives to somebody who has no clone."""

import json
import os
import pathlib
import re
import subprocess
import sys
import venv
import zipfile

import pytest
import yaml

import gnp
from tests.test_quickstart import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}"]
    source = folder / "source"
    source.mkdir()
    for name in ("gnp", "config", "setup.py", "pyproject.toml", "README.md"):
        (source / name).symlink_to(ROOT / name)
    subprocess.run([*build, str(source)], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_packages_the_configs_and_the_command(wheel):
    files = zipfile.ZipFile(wheel).namelist()
    packages = {name.partition("/")[0] for name in files}
    info = f"gnp_jax-{gnp.__version__}.dist-info"
    assert packages == {"gnp", info}
    in_tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gnp").rglob("*.py")}
    in_tree |= {f"gnp/configs/{path.name}" for path in (ROOT / "config").glob("[!_]*.py")}
    assert in_tree == {name for name in files if name.endswith(".py")}
    assert {"gnp/py.typed", "gnp/model/sizes.json"} <= set(files)
    scripts = zipfile.ZipFile(wheel).read(f"{info}/entry_points.txt").decode()
    assert "gnp = gnp.main.cli:main" in scripts


@pytest.mark.slow
def test_an_installation_from_the_wheel_trains_in_another_folder(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    result = subprocess.run(
        [
            tmp_path / "venv" / "bin" / "gnp",
            "train",
            "--config=config/digits.py",
            "--working_dir=runs",
            "--config.total_epochs=1",
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (summary,) = tmp_path.glob("runs/**/summary.json")
    assert json.loads(summary.read_text())["versions"]["gnp"] == gnp.__version__


def test_no_text_tells_to_install_the_other_project_of_that_name():
    """On package indexes, gnp belongs to somebody else."""
    rooms = (ROOT / room for room in ("gnp", "config", "docs", "recipe"))
    texts = [*ROOT.glob("*.md"), ROOT / "CITATION.cff", ROOT / "Dockerfile"]
    texts += [path for room in rooms for path in room.rglob("*") if path.suffix in (".md", ".py")]
    for path in texts:
        found = re.search(r"pip install [^\n]*\bgnp(?![-_\w])|\bgnp\[\w+\]", path.read_text())
        assert found is None, f"{path}: {found[0]}"


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == gnp.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+?),? ", changes, re.M)[1] == gnp.__version__


def test_the_citation_has_what_its_format_demands():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_image_copies_only_what_its_context_has():
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert {name for line in copied for name in line.split()} == kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_image_passes_the_linter():
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    subprocess.run([hadolint, str(ROOT / "Dockerfile")], check=True)
