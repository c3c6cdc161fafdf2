"""The command that shows the data."""

import pathlib
import re
import shutil
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


@pytest.mark.parametrize("loader", ["tfdata", "device"])
def test_wrong_labels_are_counted_and_drawn_with_the_true_ones(
    tmp_path, capsys, monkeypatch, loader
):
    drawn = {}
    monkeypatch.setattr(inspect_data, "save_image_grid", lambda path, parts: drawn.update(parts))
    overrides = [f"dataset.loader={loader}", "dataset.label_noise=0.4"]
    overrides += ["dataset.label_noise_kind=asymmetric", "dataset.num_train_images=500"]
    inspect_data.inspect(load_config("config/digits.py", overrides), tmp_path / "data.png")
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("label noise: ")]
    total, *counts = map(int, re.findall(r"(?:: |\d )(\d+)(?= of|, |\))", line))
    assert 150 < total < 250
    assert sum(counts) == total
    assert "of 500 training labels changed (by true class: 0 " in line
    images, captions = drawn["train, wrong labels"]
    assert len(images) == len(captions) == 32
    for caption in captions:
        given, true = re.fullmatch(r"(\d)\n\(true: (\d)\)", caption).groups()
        assert int(given) == (int(true) + 1) % 10
    _, augmented = drawn["train (augmented)"]
    marked = [caption for caption in augmented if "(true: " in caption]
    assert 6 < len(marked) < 20  # of 32
    for caption in marked:
        given, true = re.fullmatch(r"(\d)\n\(true: (\d)\)", caption).groups()
        assert int(given) == (int(true) + 1) % 10
    assert not any("true" in caption for caption in drawn["eval"][1])
    inspect_data.inspect(load_config("config/digits.py"), tmp_path / "data.png")
    assert "label noise" not in capsys.readouterr().out


def test_verify_passes_good_files(folder, capsys):
    inspect_data.verify_files(folder_settings(folder))
    assert "16 files read, 0 of them bad." in capsys.readouterr().out


def test_verify_lists_bad_files(folder, capsys):
    (folder / "val" / "b" / "2.png").write_bytes(b"no image")
    (folder / "train" / "a" / "0.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 of 16 files cannot be used"):
        inspect_data.verify_files(folder_settings(folder))
    said = capsys.readouterr().out
    assert f"{folder}/val/b/2.png: it is not an image" in said
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


def test_class_names_may_look_like_mathematics(folder, capsys):
    for part in ("train", "val"):
        (folder / part / "b").rename(folder / part / "US$_to_$EUR")
    inspect_data.inspect(folder_settings(folder), folder / "data.png")
    assert "train: 8 images (US$_to_$EUR 4, a 4)" in capsys.readouterr().out
    assert (folder / "data.png").exists()


def test_a_single_class_is_refused(folder):
    for part in ("train", "val"):
        shutil.rmtree(folder / part / "b")
    settings = folder_settings(folder, "dataset.num_classes=1")
    with pytest.raises(UserError, match="has the one class 'a'; a classifier needs"):
        inspect_data.inspect(settings, folder / "data.png")


def test_too_few_images_to_hold_some_out_are_refused(folder):
    for path in (*(folder / "train").rglob("[1-3].png"), *(folder / "val").rglob("[1-3].png")):
        path.unlink()
    settings = folder_settings(folder, "use_test_set=False")
    with pytest.raises(UserError, match="a tenth of the training set, which has only 2 images"):
        inspect_data.inspect(settings, folder / "data.png")
