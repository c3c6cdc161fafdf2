"""A run that is distilled from another."""

import json
import shutil

import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.main import run
from gnp.runs.metrics import read_metrics

FAKE = "dataset.dataset_name=fake"
TINY = ("model.model_name=ViT_Micro", "dataset.num_train_images=128", "batch_size=32")


def train(working_dir, *overrides, epochs=1):
    fields = [*TINY, f"total_epochs={epochs}", *overrides]
    return run(load_config("config/digits.py", fields), working_dir)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return train(tmp_path_factory.mktemp("teacher"), "seeds=7", "init_seeds=7", epochs=3)


def losses(folder):
    return [m["train/loss"] for m in read_metrics(folder / "metrics.jsonl") if "train/loss" in m]


def test_a_teacher_that_starts_as_the_student_has_nothing_to_say(teacher, tmp_path):
    copied = f"init_from={teacher}", f"distill.run={teacher}", "distill.weight=1"
    rates = (
        f"model.model_params.transformer.{name}=0."
        for name in ("dropout_rate", "attention_dropout_rate")
    )
    folder = train(tmp_path, *copied, "base_lr=0", *rates)
    assert max(losses(folder)) < 1e-6
    assert json.loads((folder / "teacher.json").read_text())["run"] == str(teacher)


def test_a_distilled_run_resumes_with_the_same_numbers_and_its_own_teacher(teacher, tmp_path):
    moved = shutil.copytree(teacher, tmp_path / "teacher")
    fields = f"distill.run={moved}", "gnp.r=0.1", "gnp.alpha=0.8", "save_ckpt_every_n_epochs=1"
    folder = train(tmp_path, *fields, epochs=2)
    expected = losses(folder)
    shutil.rmtree(folder / "checkpoints/8")
    train(tmp_path, *fields, epochs=2)
    assert losses(folder) == expected
    assert expected != losses(train(tmp_path / "alone", *fields[1:], epochs=2))

    (folder / "teacher.json").unlink()
    shutil.rmtree(folder / "checkpoints/8")
    train(tmp_path, *fields, epochs=2)
    assert losses(folder) == expected
    log = (folder / "log.txt").read_text()
    assert log.count("teacher.json, which says what teacher the run began with, is missing") == 1
    assert json.loads((folder / "teacher.json").read_text())["run"] == str(moved)

    shutil.rmtree(folder / "checkpoints/8")
    shutil.rmtree(moved / "checkpoints/12")
    with pytest.raises(UserError, match="holds other weights than when the run"):
        train(tmp_path, *fields, epochs=2)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("distill.run={}/nowhere",), "nowhere, which holds no trained run; name a run's folder"),
        (
            ("distill.run={}", FAKE, "dataset.image_size=10"),
            "images of 8x8x1, but these are of 10x",
        ),
        (("distill.run={}", FAKE), "was trained with other classes (class 0 is '0' there and "),
        (("distill.run={}", "distill.temperature=0"), "distill.temperature is 0.0; it must be"),
        (("distill.run={}", "distill.weight=2"), "distill.weight is 2"),
        (("distill.weight=0.5",), "distill.run is empty, so there is no teacher"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher, tmp_path, overrides, sentence):
    overrides = [text.format(teacher) for text in overrides]
    with pytest.raises(UserError) as error:
        train(tmp_path, *overrides)
    assert sentence in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_teacher_of_an_older_version_is_refused(teacher, tmp_path):
    moved = shutil.copytree(teacher, tmp_path / "teacher")
    (moved / "data.json").unlink()
    with pytest.raises(UserError, match=r"has no data\.json, which says how its images are norm"):
        train(tmp_path / "runs", f"distill.run={moved}")
