"""The command that trains: what it says, what it leaves, how it ends."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.main import run

ROOT = pathlib.Path(__file__).parents[2]
TINY = ("dataset.num_train_images=128", "total_epochs=2", "save_ckpt_every_n_epochs=1")


def command(*arguments):
    return [sys.executable, "-m", "gnp.main.main", *arguments]


def call(*arguments):
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )


def train(folder, *overrides):
    run(load_config("config/digits.py", [*TINY, *overrides]), folder)


def test_a_run_leaves_everything_in_its_folder(tmp_path, capsys):
    train(tmp_path, "gnp.r=0.05", "gnp.alpha=0.8")
    (folder,) = (path.parent for path in tmp_path.rglob("summary.json"))
    assert folder.name.startswith("r=0.05,alpha=0.8,")
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    expected = {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "curves.png"}
    assert names == expected | {
        "summary.json",
        "timings.jsonl",
        "log.txt",
        "data.json",
        "devices.json",
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["final"]["eval/num_images"] == 360
    printed = capsys.readouterr().out
    assert f"Test error {100 * summary['final']['eval/error_rate']:.2f} %" in printed
    assert str(folder / "curves.png") in printed


def test_the_end_tells_where_overfitting_starts(tmp_path, capsys):
    noise = ("dataset.dataset_name=fake", "dataset.image_level_augmentations=none")
    settings = ("total_epochs=30", "base_lr=0.02", "l2_regularization=0")
    train(tmp_path, *noise, *settings)
    (path,) = tmp_path.rglob("summary.json")
    parted = json.loads(path.read_text())["parted"]
    assert parted["later_validation_loss"] > parted["validation_loss"]
    assert parted["later_train_loss"] < parted["train_loss"]
    printed = capsys.readouterr().out
    assert f"Overfitting starts at step {parted['step']}: since then" in printed
    assert "Stopped early" not in printed


def test_the_end_tells_that_it_is_early(tmp_path, capsys):
    train(tmp_path, "early_stopping_patience=1", "total_epochs=20", "base_lr=0")
    printed = capsys.readouterr().out
    assert "after 4 steps" in printed
    assert "Stopped early: the evaluations no longer got better." in printed
    assert "Overfitting" not in printed


def test_in_the_reference_s_path_another_config_is_refused(tmp_path):
    reference = "run_path=reference"
    train(tmp_path, reference)
    with pytest.raises(UserError, match=r"label_smoothing: 0.0 -> 0.1"):
        train(tmp_path, reference, "label_smoothing=0.1")
    train(tmp_path, reference, "label_smoothing=0.1", "retrain=True")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--config is missing; name a config (cifar100_wideresnet, "),
        (["--config=config/digits.py"], "--working_dir is missing; name the folder"),
        (["--confg=x"], "Unknown flag --confg; did you mean --config?"),
        (["digits"], "Unexpected argument 'digits'"),
        (
            ["--config=config/digits.py", "--working_dir=unused", "--config.gnp.alhpa=1"],
            "--config sets gnp.alhpa, but there is no such field; nearest: gnp.alpha",
        ),
        (
            ["--config=config/digits.py", "--working_dir=unused", "--cutout_length=many"],
            "sets dataset.cutout_length to 'many', but it takes a whole number",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence):
    result = call(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (ROOT / "unused").exists()


def test_no_tensorflow_is_loaded_without_a_source_that_needs_it(tmp_path):
    code = (
        "import pathlib, sys\n"
        "from gnp.main import config, main\n"
        f"main.run(config.load_config('config/digits.py', {TINY!r}), pathlib.Path(sys.argv[1]))\n"
        "loaded = [name for name in sys.modules if name.startswith('tensorflow')]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def signal_after_first_evaluation(arguments, folder, number):
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not any("eval/loss" in path.read_text() for path in folder.rglob("metrics.jsonl")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no evaluation within two minutes"
        time.sleep(0.05)
    os.kill(process.pid, number)
    return process.communicate(timeout=120)[1], process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_saves_and_says_how_to_resume(tmp_path, number):
    arguments = ["--config=config/digits.py", f"--working_dir={tmp_path}"]
    arguments += ["--config.total_epochs=500", "--config.dataset.num_train_images=64"]
    message, code = signal_after_first_evaluation(arguments, tmp_path, number)
    assert code == 128 + number
    assert "everything is saved. The same command resumes from there." in message
    assert "Traceback" not in message
    assert any(path.is_dir() for path in tmp_path.rglob("checkpoints/*"))


def test_a_killed_run_ends_like_one_that_was_left_alone(tmp_path):
    arguments = ["--config=config/digits.py", "--config.total_epochs=12"]
    arguments += ["--config.save_ckpt_every_n_epochs=2", "--config.dataset.num_train_images=192"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    arguments_of_killed = [*arguments, f"--working_dir={killed}"]
    _, code = signal_after_first_evaluation(arguments_of_killed, killed, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not list(killed.rglob("summary.json"))
    for folder in (killed, whole):
        assert call(*arguments, f"--working_dir={folder}").returncode == 0
    for name in ("summary.json", "metrics.jsonl"):
        (first,), (second,) = killed.rglob(name), whole.rglob(name)
        if name == "summary.json":
            first, second = json.loads(first.read_text()), json.loads(second.read_text())
            assert (first["final"], first["best"]) == (second["final"], second["best"])
        else:
            assert first.read_text() == second.read_text()
