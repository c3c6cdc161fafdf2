"""What works without tensorflow, and what is said where nothing does."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gnp.ds_pipeline import tensorflow_cpu
from gnp.ds_pipeline.build import build_source
from gnp.ds_pipeline.loaders.numpy_source import NumpySource
from gnp.ds_pipeline.loaders.tf_source import TfSource
from gnp.main.config import load_config

ROOT = pathlib.Path(__file__).parents[2]
BLOCKED = (
    "import runpy, sys;"
    "sys.modules.update(dict.fromkeys(('tensorflow', 'tensorflow_datasets')));"
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("a", "b"):
            (folder / part / name).mkdir(parents=True)
            for number in range(6):
                pixels = generator.integers(0, 256, (16, 20, 3), np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


def fields(root, *more):
    own = (f"data_dir={root}", "num_classes=2", "image_size=16", *more)
    return [*(f"dataset.{field}" for field in own), "batch_size=4"]


def call(module, config, changes, *arguments):
    flags = [f"--config={config}", *(f"--config.{change}" for change in changes)]
    return run_blocked(module, *arguments, *flags)


def run_blocked(module, *arguments):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_folder_of_images_is_shown(root, tmp_path):
    picture = tmp_path / "data.png"
    changes = fields(root, "batch_level_augmentations=mixup")
    done = call("gnp.main.inspect_data", "config/image_folder.py", changes, f"--out={picture}")
    assert done.returncode == 0, done.stderr
    assert "train: 12 images (a 6, b 6)" in done.stdout
    assert picture.exists()


def test_a_folder_of_images_is_trained_on_evaluated_and_predicted(root, tmp_path):
    changes = [*fields(root), "total_epochs=1", "model.model_name=NetToLookInto"]
    changes.append(f"model.model_module={ROOT / 'tests' / 'main' / 'small_models.py'}")
    done = call(
        "gnp.main.main", "config/image_folder.py", changes, f"--working_dir={tmp_path / 'runs'}"
    )
    assert done.returncode == 0, done.stderr
    assert "after 3 steps" in done.stdout
    (log,) = tmp_path.rglob("log.txt")
    assert "numpy alone prepares them, without tensorflow" in log.read_text()
    evaluated = run_blocked("gnp.main.evaluate", f"--run={log.parent}")
    assert evaluated.returncode == 0, evaluated.stderr
    predicted = run_blocked("gnp.main.predict", f"--run={log.parent}", str(root / "val" / "a"))
    assert predicted.returncode == 0, predicted.stderr
    assert "5.png" in predicted.stdout


def test_a_folder_that_memory_does_not_hold_says_what_would(root):
    changes = fields(root, "memory_limit_gb=1e-5")
    done = call("gnp.main.inspect_data", "config/image_folder.py", changes)
    assert done.returncode == 2
    assert (
        "or raise dataset.memory_limit_gb from 1e-05 to at least the 1.84e-05 that these images "
        "take in memory." in done.stderr
    )


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        ("config/image_folder.py", ["dataset.image_level_augmentations=autoaugment"]),
        ("config/image_folder.py", ["dataset.memory_limit_gb=0"]),
        ("config/imagenet.py", ["imagenet_train_dir=ROOT/train", "imagenet_val_dir=ROOT/val"]),
        ("config/cifar10_resnet.py", ["dataset.data_dir=", "dataset.num_classes=10"]),
        ("config/digits.py", ["dataset.image_level_augmentations=randaugment"]),
    ],
    ids=["policy", "streamed", "photos", "tensorflow-datasets", "policy in memory"],
)
@pytest.mark.parametrize("module", ["gnp.main.main", "gnp.main.inspect_data"])
def test_what_needs_it_says_how_to_get_it(root, tmp_path, config, changes, module):
    own = [] if "digits" in config else fields(root)
    changes = [*own, *(change.replace("ROOT", str(root)) for change in changes)]
    arguments = [f"--working_dir={tmp_path}"] if module.endswith("main.main") else []
    done = call(module, config, changes, *arguments)
    assert done.returncode == 2, done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("This kind of data or augmentation needs tensorflow")
    assert 'install it with pip install "gnp-jax[data]"' in sentence
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("level", ["none", "crop", "basic"])
@pytest.mark.parametrize("batch_level", ["none", "cutmix", "mixcut"])
def test_batches_are_those_of_tensorflow(root, monkeypatch, level, batch_level):
    augmentations = (f"image_level_augmentations={level}", "random_erasing=0.5")
    augmentations += (f"batch_level_augmentations={batch_level}", "cutout_length=5")
    config = load_config("config/image_folder.py", fields(root, *augmentations))
    with_tensorflow = build_source(config)
    monkeypatch.setattr(tensorflow_cpu, "is_installed", lambda: False)
    without = build_source(config)
    assert isinstance(with_tensorflow, TfSource)
    assert isinstance(without, NumpySource)
    for part in (lambda source: source.train_batches(1), lambda source: source.eval_batches()):
        for expected, found in zip(part(with_tensorflow), part(without), strict=True):
            for key in expected:
                assert found[key].dtype == expected[key].dtype
                np.testing.assert_allclose(found[key], expected[key], atol=1e-6)
