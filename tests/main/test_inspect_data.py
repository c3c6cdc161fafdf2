"""The command that shows the data."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gnp.errors import UserError
from gnp.main import inspect_data
from gnp.main.config import load_config

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(inspect_data, "_SECONDS_MEASURED", 0.1)


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "val"):
        for name in ("a", "b"):
            path = tmp_path / part / name
            path.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (16, 16), (number * 60, 0, 90)).save(path / f"{number}.png")
    return tmp_path


def folder_settings(folder, *overrides):
    fields = ["dataset_name=image_folder", f"data_dir={folder}", "num_classes=2", "image_size=16"]
    return load_config(
        "config/base.py", ["batch_size=4", *(f"dataset.{field}" for field in fields), *overrides]
    )


@pytest.mark.parametrize("loader", ["tfdata", "device"])
def test_it_counts_measures_and_draws(tmp_path, capsys, loader):
    overrides = [f"dataset.loader={loader}", "dataset.batch_level_augmentations=mixup"]
    picture = tmp_path / "new" / "data.png"
    inspect_data.inspect(load_config("config/digits.py", overrides), picture)
    said = capsys.readouterr().out
    assert "train: 1437 images (0 1" in said
    assert "eval: 360 images" in said
    assert "train: mean 0.3" in said
    assert "images/s" in said
    pixels = np.asarray(Image.open(picture))
    assert min(pixels.shape[:2]) > 500
    assert pixels.std() > 30


def test_verify_passes_good_files(folder, capsys):
    inspect_data.verify_files(folder_settings(folder))
    assert "16 files read, 0 of them bad." in capsys.readouterr().out


def test_verify_lists_bad_files(folder, capsys):
    (folder / "val" / "b" / "2.png").write_bytes(b"no image")
    (folder / "train" / "a" / "0.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 of 16 files cannot be used"):
        inspect_data.verify_files(folder_settings(folder))
    said = capsys.readouterr().out
    assert f"{folder}/val/b/2.png: it is no image" in said
    assert f"{folder}/train/a/0.png: the file is empty" in said


def test_bad_input_is_one_sentence_and_exit_code_2():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gnp.main.inspect_data", "--config=config/digits.py"),
            "--config.dataset.loader=gpu",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Unknown dataset.loader 'gpu'; known: ")


def test_a_single_class_is_shown(tmp_path, capsys):
    for part in ("train", "val"):
        (tmp_path / part / "US$_to_$EUR").mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (16, 16), (number * 60, 0, 90)).save(
                tmp_path / part / "US$_to_$EUR" / f"{number}.png"
            )
    settings = folder_settings(tmp_path, "dataset.num_classes=1")
    inspect_data.inspect(settings, tmp_path / "data.png")
    assert "train: 4 images (US$_to_$EUR 4)" in capsys.readouterr().out
    assert (tmp_path / "data.png").exists()


def test_too_few_images_to_hold_some_out_are_refused(folder):
    for path in (*(folder / "train").rglob("[1-3].png"), *(folder / "val").rglob("[1-3].png")):
        path.unlink()
    settings = folder_settings(folder, "use_test_set=False")
    with pytest.raises(UserError, match="a tenth of the training set, which has only 2 images"):
        inspect_data.inspect(settings, folder / "data.png")
