"""Each extra installs alone and does its work; without it, one sentence says how to get it."""

import os
import subprocess
import venv

import pytest

from tests.test_quickstart import ROOT

pytestmark = pytest.mark.slow

# Twenty small images of two classes, as each kind of data source has them.
IMAGES = """
import pathlib, sys
import numpy as np
from PIL import Image
images = [Image.fromarray(np.full((8, 8), 10 * i, np.uint8)) for i in range(20)]
labels = [i % 2 for i in range(20)]
pathlib.Path("photos").mkdir()
"""
HUGGING_FACE = """
import datasets
features = datasets.Features(
    {"image": datasets.Image(), "label": datasets.ClassLabel(names=["even", "odd"])}
)
table = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
datasets.DatasetDict({"train": table, "test": table}).save_to_disk("photos")
"""
TARS = """
import webdataset
for split in ("train", "test"):
    with webdataset.TarWriter(f"photos/{split}.tar") as file:
        for i, image in enumerate(images):
            file.write({"__key__": str(i), "png": image, "cls": labels[i]})
"""
TABLES = """
import pyarrow
from pyarrow import parquet
for i, image in enumerate(images):
    image.save(f"photos/{i}.png")
table = pyarrow.table({"path": [f"{i}.png" for i in range(20)], "label": list(map(str, labels))})
for split in ("train", "test"):
    parquet.write_table(table, f"photos/{split}.parquet")
"""
SMALL = "--config.total_epochs=1 --config.batch_size=4 --config.dataset.num_train_images=8"
OWN = f"gnp train --config=digits --working_dir=runs {SMALL} --config.dataset.data_dir=photos"
DIGITS = f"gnp train --config=digits --working_dir=runs {SMALL}"

# By extra: code that makes its data, what needs no extra before, and the command that needs it.
EXTRAS = {
    "data": ("", "", f"{DIGITS} --config.dataset.image_level_augmentations=randaugment"),
    "hf": (HUGGING_FACE, "", f"{OWN} --config.dataset.dataset_name=huggingface"),
    "webdataset": (TARS, "", f"{OWN} --config.dataset.dataset_name=webdataset"),
    "parquet": (TABLES, "", f"{OWN} --config.dataset.dataset_name=csv"),
    "onnx": ("", DIGITS, "gnp export --run=runs --format=onnx --out=model.onnx"),
    "safetensors": ("", DIGITS, "gnp export --run=runs --format=safetensors --out=model.st"),
    "wandb": ("", "", f"{DIGITS} --config.logging.wandb=True"),
}


def environment(folder, extra=""):
    """A new environment with the package and one extra."""
    venv.create(folder, with_pip=True)
    package = f"{ROOT}[{extra}]" if extra else str(ROOT)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    pins = ["--constraint", ROOT / "requirements.txt"]
    subprocess.run([*install, *pins, "--editable", package], check=True)
    return folder / "bin"


def call(programs, command, folder):
    """Calls a command in a folder. `--run=runs` becomes the only run that is there."""
    words = command.split()
    if "--run=runs" in words:
        (summary,) = folder.glob("runs/**/summary.json")
        words = [word.replace("--run=runs", f"--run={summary.parent}") for word in words]
    # Devices are those of the machine, not the virtual ones of other tests.
    ours = ("PYTHONPATH", "JAX_NUM_CPU_DEVICES")
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [programs / words[0], *words[1:]],
        cwd=folder,
        env=outside | {"WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """The programs of an environment without any extra."""
    return environment(tmp_path_factory.mktemp("core") / "venv")


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_alone_and_works(tmp_path, extra):
    make, before, command = EXTRAS[extra]
    programs = environment(tmp_path / "venv", extra)
    if make:
        subprocess.run([programs / "python", "-c", IMAGES + make], cwd=tmp_path, check=True)
    for step in filter(None, (before, command)):
        result = call(programs, step, tmp_path)
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("extra", EXTRAS)
def test_without_the_extra_one_sentence_says_how_to_get_it(core, tmp_path, extra):
    _, before, command = EXTRAS[extra]
    (tmp_path / "photos").mkdir()
    for name in ("train.tar", "test.tar", "train.parquet", "test.parquet"):
        (tmp_path / "photos" / name).touch()
    if before:
        result = call(core, before, tmp_path)
        assert result.returncode == 0, result.stderr
    result = call(core, command, tmp_path)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert f'pip install "gnp-jax[{extra}]"' in result.stderr.splitlines()[-1]


def test_the_core_holds_neither_tensorflow_nor_scikit_learn(core):
    listed = subprocess.run(
        [core / "python", "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout.lower()
    assert "flax" in listed
    assert not [name for name in ("tensorflow", "scikit-learn", "torch ") if name in listed]
