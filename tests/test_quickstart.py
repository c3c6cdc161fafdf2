"""The scripts that a new user types first."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def call(script, *arguments, folder, **environment):
    return subprocess.run(
        ["bash", str(ROOT / script), *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_quickstart_trains_twice_and_compares_from_any_folder(tmp_path):
    result = call(
        "recipe/quickstart.sh",
        "--working_dir=out",
        "--config.total_epochs=1",
        "--config.dataset.num_train_images=128",
        folder=tmp_path,
        GNP_PYTHON=sys.executable,
        JAX_NUM_CPU_DEVICES="1",
    )
    assert result.returncode == 0, result.stderr
    head, _, plain, penalized, *_, curves, page, _, said = result.stdout.splitlines()
    assert "test error (%)" in head
    assert plain.startswith("| standard")
    assert penalized.startswith("| r=1 alpha=0.8")
    assert curves == f"Curves: {pathlib.Path('out/curves.png')}"
    assert (tmp_path / "out/curves.png").exists()
    assert page == f"Page: {pathlib.Path('out/report.html')}"
    # Of the 40 % of the labels that are redrawn, a tenth stays right.
    trained = (
        "WideResNet_10_1 trained for 1 epoch on 128 images of digits, 35 % of them with a wrong"
    )
    assert said.startswith(f"{trained} label: the test error ")
    assert "with one seed; a training takes" in said
    assert said.endswith(" times as long.")
    assert "40 %" not in result.stderr
    assert len(list(tmp_path.glob("out/**/summary.json"))) == 2


def test_without_a_python_the_scripts_say_so(tmp_path):
    copy = tmp_path / "recipe"
    copy.mkdir()
    for name in ("common.sh", "quickstart.sh"):
        (copy / name).write_text((ROOT / "recipe" / name).read_text())
    for name in ("requirements.txt", "setup.py"):
        (tmp_path / name).touch()
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cat", "cksum", "dirname"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    result = subprocess.run(
        ["/bin/bash", str(copy / "quickstart.sh")],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("There is no Python 3.11 or newer")
    assert len(result.stderr.splitlines()) == 1
