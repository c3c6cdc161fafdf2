"""A run goes on with the data that it began with, or not at all."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.evaluate import evaluate_run
from gnp.main.main import run
from gnp.main.saved.run_data import defaults_of_older_runs
from gnp.main.start import build
from gnp.runs.data_file import DATA_FILE, read_run_data

ROOT = pathlib.Path(__file__).parents[3]
CLASSES = ("ant", "bee", "cat")


def write_image(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(level).normal(level, 10, (8, 8, 3)).clip(0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def fields(data, *more):
    return [
        f"dataset.data_dir={data}",
        "dataset.num_classes=3",
        "dataset.image_size=8",
        "dataset.image_level_augmentations=none",
        "batch_size=8",
        "total_epochs=3",
        "save_ckpt_every_n_epochs=1",
        "keep_latest_checkpoints=10",
        "run_path=reference",  # short names tell one data_dir from another
        "model.model_name=NetToLookInto",
        f"model.model_module={pathlib.Path(__file__).parents[1] / 'small_models.py'}",
        *more,
    ]


def train(root, *more):
    run(load_config("config/image_folder.py", fields(root / "data", *more)), root / "runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of nine steps in runs/, on the images in data/."""
    root = tmp_path_factory.mktemp("finished")
    for part, count in (("train", 8), ("val", 2)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                write_image(root / "data" / part / name / f"{number}.png", 40 + 80 * label)
    train(root)
    return root


@pytest.fixture
def root(finished, tmp_path):
    """A copy of it."""
    shutil.copytree(finished / "data", tmp_path / "data")
    shutil.copytree(finished / "runs", tmp_path / "runs")
    (config,) = tmp_path.rglob("config.json")
    text = config.read_text().replace(str(finished), str(tmp_path))
    config.write_text(text)
    return tmp_path


def folder_of(root):
    return next(root.rglob("config.json")).parent


def interrupt(root):
    """Makes a finished run one that was killed after its first epoch."""
    folder = folder_of(root)
    for step in ("6", "9"):
        shutil.rmtree(folder / "checkpoints" / step)
    (folder / "summary.json").unlink()


def rename(data):
    (data / "train" / "ant").rename(data / "train" / "dog")
    (data / "val" / "ant").rename(data / "val" / "dog")


def grow(data):
    for name in CLASSES:
        for number in range(8, 16):
            write_image(data / "train" / name / f"{number}.png", 100)


def shrink(data):
    for path in (data / "train").rglob("[4-7].png"):
        path.unlink()


def relabel(data):
    """Swaps two images whose names their classes do not share, so that all numbers stay."""
    (data / "train" / "ant" / "0.png").rename(data / "train" / "bee" / "8.png")
    (data / "train" / "bee" / "0.png").rename(data / "train" / "ant" / "8.png")


def change_test_set(data):
    (data / "val" / "cat" / "1.png").rename(data / "val" / "cat" / "other.png")


CHANGES = {
    "class 0 is 'bee' now, 'ant' when it began": rename,
    "the training set has 48 images now, 24 when it began": grow,
    "the training set has 12 images now, 24 when it began": shrink,
    "the training set has as many images, but others or with other labels": relabel,
    "the evaluation set has as many images, but others": change_test_set,
}


@pytest.mark.parametrize("sentence", CHANGES)
@pytest.mark.parametrize("is_finished", [True, False])
def test_other_data_are_refused(root, sentence, is_finished):
    if not is_finished:
        interrupt(root)
    before = (folder_of(root) / DATA_FILE).read_bytes()
    CHANGES[sentence](root / "data")
    with pytest.raises(UserError, match=f"began with: .*{sentence}.*Restore the data, or"):
        train(root)
    assert (folder_of(root) / DATA_FILE).read_bytes() == before


def test_that_is_one_sentence_and_exit_code_2(root):
    rename(root / "data")
    flags = [f"--config.{field}" for field in fields(root / "data")]
    command = [sys.executable, "-m", "gnp.main.main", "--config=config/image_folder.py", *flags]
    done = subprocess.run(
        [*command, f"--working_dir={root / 'runs'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("The data are not those that the run in ")


def test_the_same_data_resume_with_the_same_normalization(root):
    """Images of other brightness under the same names are not seen, but normalized as before."""
    interrupt(root)
    before = (folder_of(root) / DATA_FILE).read_bytes()
    for path in (root / "data" / "train").rglob("*.png"):
        write_image(path, 250)
    train(root)
    assert (folder_of(root) / "checkpoints" / "9").exists()
    assert (folder_of(root) / DATA_FILE).read_bytes() == before


def test_a_started_run_resumes_as_if_nothing_had_been(root, finished):
    interrupt(root)
    train(root)
    ended, expected = (
        json.loads((folder_of(place) / "summary.json").read_text()) for place in (root, finished)
    )
    assert ended["final"] == expected["final"]


def test_retrain_takes_the_new_data(root):
    grow(root / "data")
    train(root, "retrain=True", "total_epochs=3")
    assert read_run_data(folder_of(root)).num_train_images == 48


def test_a_run_without_a_checkpoint_takes_the_data_that_there_are(root):
    shutil.rmtree(folder_of(root) / "checkpoints")
    (folder_of(root) / "metrics.jsonl").unlink()
    (folder_of(root) / "summary.json").unlink()
    grow(root / "data")
    train(root)
    assert read_run_data(folder_of(root)).num_train_images == 48


def test_a_data_file_of_an_older_version_is_completed(root, caplog):
    interrupt(root)
    file = folder_of(root) / DATA_FILE
    whole = json.loads(file.read_text())
    own = {"class_names": list(CLASSES), "mean": [0.5] * 3, "std": [0.25] * 3}
    file.write_text(json.dumps(own))
    train(root)
    assert "does not say how many images the run began with" in caplog.text
    assert json.loads(file.read_text()) == whole | own
    caplog.clear()
    train(root)
    assert "does not say" not in caplog.text
    rename(root / "data")
    with pytest.raises(UserError, match="class 0 is 'bee' now"):
        train(root)


def test_a_missing_data_file_is_made_anew_with_a_word(root, caplog):
    file = folder_of(root) / DATA_FILE
    whole = file.read_bytes()
    file.unlink()
    train(root)
    assert "does not say how many images the run began with" in caplog.text
    assert file.read_bytes() == whole


@pytest.mark.parametrize(("change", "is_finished"), [(grow, True), (grow, False), (shrink, True)])
def test_a_run_without_a_data_file_has_its_steps_compared(root, change, is_finished):
    """Otherwise it would go beyond its end, or end in the middle of an epoch."""
    if not is_finished:
        interrupt(root)
    (folder_of(root) / DATA_FILE).unlink()
    change(root / "data")
    with pytest.raises(UserError, match=r"but it has taken . and was evaluated after .*Restore"):
        train(root)
    assert not (folder_of(root) / DATA_FILE).exists()


def test_the_classes_of_an_older_data_file_are_compared(root):
    own = {"class_names": list(CLASSES), "mean": [0.5] * 3, "std": [0.25] * 3}
    (folder_of(root) / DATA_FILE).write_text(json.dumps(own))
    rename(root / "data")
    with pytest.raises(UserError, match="class 0 is 'bee' now"):
        train(root)


def test_another_content_of_the_file_of_labels_is_refused(tmp_path, finished):
    shutil.copytree(finished / "data", tmp_path / "data")
    labels = np.repeat(np.arange(3), 8)
    np.save(tmp_path / "labels.npy", labels)
    noise = f"dataset.train_labels={tmp_path / 'labels.npy'}"
    train(tmp_path, noise)
    train(tmp_path, noise)
    labels[0] = 2
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(UserError, match=r"other labels; label noise is .*'changed': 1"):
        train(tmp_path, noise)


def test_evaluating_on_other_images_is_said(root, caplog):
    settings = load_config(str(folder_of(root) / "config.json"))
    own = evaluate_run(folder_of(root), settings, "last")
    assert "evaluation images" not in caplog.text
    change_test_set(root / "data")
    (root / "data" / "val" / "cat" / "0.png").rename(root / "data" / "val" / "ant" / "2.png")
    other = evaluate_run(folder_of(root), settings, "last")
    assert own["num_images"] == other["num_images"] == 6
    assert "The 6 evaluation images are not the 6 that the run was evaluated on" in caplog.text


@pytest.mark.parametrize("loader", ["tfdata", "device"])
@pytest.mark.parametrize("kept", ["val", "test"])
def test_a_folder_for_evaluation_alone_can_be_evaluated_on(root, kept, loader, caplog):
    """Also if it lacks a class, whose name is then said."""
    other = root / "other"
    (root / "data" / "val").rename(root / "kept")
    shutil.rmtree(root / "data")
    shutil.copytree(root / "kept", other / kept)
    shutil.rmtree(other / kept / "bee")
    settings = load_config(
        str(folder_of(root) / "config.json"),
        [f"dataset.data_dir={other}", f"dataset.loader={loader}"],
    )
    figures = evaluate_run(folder_of(root), settings, "last")
    assert figures["num_images"] == 4
    assert "1 of 3 classes have no image in the evaluation set: 'bee'" in caplog.text
    with pytest.raises(UserError, match="train is not a folder; set"):
        run(settings, root / "new")


def test_photos_of_older_runs_stay_aliased(root):
    """Runs of imagenet before dataset.antialias did not have it; others do not notice."""
    (config,) = root.rglob("config.json")
    assert defaults_of_older_runs(load_config(str(config))).dataset.antialias
    photos = load_config(
        str(config),
        [
            "dataset.dataset_name=imagenet",
            f"imagenet_train_dir={root}/data/train",
            f"imagenet_val_dir={root}/data/val",
        ],
    )
    assert not defaults_of_older_runs(photos).dataset.antialias
    for path in (root / "data" / "val").rglob("*.png"):
        Image.effect_noise((200, 200), 60).save(path)
    older = read_run_data(config.parent)._replace(train_fingerprint=None)
    images = [
        next(build.build_run_source(photos, trained_on=trained_on).eval_batches())["image"]
        for trained_on in (older, older._replace(train_fingerprint="known"))
    ]
    assert not np.array_equal(*images)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_processes_with_other_data_stop_together(root):
    """Each has a folder of this name where it runs, and one lacks an image."""
    command = [sys.executable, "-m", "gnp.main.main", f"--config={ROOT}/config/image_folder.py"]
    command += [f"--config.{field}" for field in fields("data")]
    command += [f"--working_dir={root / 'new'}", f"--coordinator_address=127.0.0.1:{free_port()}"]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
    for index in range(2):
        shutil.copytree(root / "data", root / str(index) / "data")
    (root / "1" / "data" / "train" / "ant" / "0.png").unlink()
    started = [
        subprocess.Popen(
            [*command, "--num_processes=2", f"--process_id={index}"],
            cwd=root / str(index),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [2, 2], outputs
    for output in outputs:
        assert "Process 1 reads other images or labels than process 0" in output
        assert "Traceback" not in output
