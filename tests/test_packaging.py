"""What `pip install` gives to somebody who has no clone."""

import email
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gnp
from tests.test_quickstart import ROOT

PYTHONS = ("3.11", "3.12", "3.13")


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
    data = {"gnp/py.typed", "gnp/model/sizes.json", "gnp/ds_pipeline/datasets/digits.npz"}
    assert data <= set(files)
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


@pytest.fixture(scope="module")
def about(wheel):
    """The wheel's metadata."""
    file = f"gnp_jax-{gnp.__version__}.dist-info/METADATA"
    return email.message_from_bytes(zipfile.ZipFile(wheel).read(file))


def test_the_metadata_tell_whose_it_is_and_for_which_pythons(about):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert [about["Author"]] == [author["name"] for author in citation["authors"]]
    assert about["License-Expression"] or about["License"] == citation["license"]
    papers = {reference["url"] for reference in citation["references"]}
    assert papers <= {url.partition(", ")[2] for url in about.get_all("Project-URL")}
    pythons = {line.rpartition(" ")[2] for line in about.get_all("Classifier") if "Python" in line}
    assert pythons == set(PYTHONS)
    assert "sharpness-aware minimization" in about["Keywords"]


def test_the_long_description_refers_to_nothing_that_an_index_lacks(about):
    text = about.get_payload()
    assert text.startswith("# gnp")
    targets = re.findall(r"\]\((.*?)\)", text)
    assert targets
    assert all(target.startswith("https://") for target in targets), targets


def test_the_source_distribution_has_what_it_needs_and_no_tests(tmp_path):
    build = [
        sys.executable,
        "-c",
        "import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])",
    ]
    subprocess.run([*build, str(tmp_path)], cwd=_copy(tmp_path / "copy"), check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    wanted = ["setup.py", "README.md", "LICENSE", "CITATION.cff", "requirements.txt"]
    wanted += ["config/digits.py", "gnp/ds_pipeline/datasets/digits.npz", "gnp/model/sizes.json"]
    assert set(wanted) <= names
    assert not [name for name in names if name.startswith(("tests", "benchmark", "docs"))]


def _copy(folder):
    """A folder with all tracked files, in which a build may leave files."""
    folder.mkdir()
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in files.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_that_fits(about, python):
    pins = [
        Requirement(line)
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if not line.lstrip().startswith("#")
    ]
    accelerators = ("cuda", "tpu", "torch")
    place = {"python_version": python, "python_full_version": f"{python}.0"}
    place |= {"sys_platform": "linux", "platform_machine": "x86_64"}
    extras = [extra for extra in about.get_all("Provides-Extra") if extra not in accelerators]
    for wanted in map(Requirement, about.get_all("Requires-Dist")):
        if wanted.name == "gnp-jax" or not any(
            wanted.marker is None or wanted.marker.evaluate(place | {"extra": extra})
            for extra in extras
        ):
            continue
        pinned = [
            pin
            for pin in pins
            if canonicalize_name(pin.name) == canonicalize_name(wanted.name)
            and (pin.marker is None or pin.marker.evaluate(place))
        ]
        assert len(pinned) == 1, wanted.name
        version = str(pinned[0].specifier).removeprefix("==")
        assert wanted.specifier.contains(version), (wanted, version)


def test_the_newest_python_with_pins_makes_the_environment(tmp_path):
    code = 'source "$0/recipe/common.sh"; find_python'
    for version in ("3.11", "3.13"):
        tool = tmp_path / f"python{version}"
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)
    result = subprocess.run(
        ["/bin/bash", "-c", code, str(ROOT)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "python3.13"


def test_no_text_tells_to_install_the_other_project_of_that_name():
    """On package indexes, gnp belongs to somebody else."""
    for path in texts():
        found = re.search(r"pip install [^\n]*\bgnp(?![-_\w])|\bgnp\[\w+\]", path.read_text())
        assert found is None, f"{path}: {found[0]}"


def texts():
    """All that somebody may copy a command from."""
    yield from (*ROOT.glob("*.md"), ROOT / "CITATION.cff", ROOT / "Dockerfile", ROOT / "setup.py")
    for room in ("gnp", "config", "docs", "recipe", "tests", "examples", "benchmark"):
        for suffix in ("md", "py", "sh", "yaml", "yml"):
            yield from (ROOT / room).rglob(f"*.{suffix}")


def test_an_extra_has_one_name_in_documents_and_one_in_errors():
    """From a clone '.[x]'; from an index "gnp-jax[x]"."""
    for path in texts():
        if path.suffix == ".md" or path.is_relative_to(ROOT / "gnp"):
            form = '"gnp-jax[' if path.suffix == ".py" else "'.["
            for command in re.findall(r"pip install [^`\n]*\[\S+", path.read_text()):
                assert form in command, f"{path}: {command}"


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
