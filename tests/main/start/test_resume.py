"""`--resume=RUN`: a run continues with other values of a few fields; anything else is refused."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import gnp
from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.main import resume, run
from gnp.runs.config_file import read_config
from gnp.runs.find import is_finished, read_run
from gnp.runs.folder import CONFIG_FILE
from gnp.runs.metrics import read_metrics
from gnp.training import loop
from gnp.training.checkpoints.saved_variables import read_newest_variables

ROOT = pathlib.Path(__file__).parents[3]
EPOCH = 2  # steps
FIELDS = [
    *("dataset.num_train_images=128", "total_epochs=4", "model.model_name=SmallDropoutNet"),
    f"model.model_module={ROOT / 'tests/main/small_models.py'}",
    *("save_ckpt_every_n_epochs=1", "keep_latest_checkpoints=9", "keep_best_checkpoints=0"),
]


class Killed(BaseException):
    pass


def started(working_dir):
    return run(load_config("config/digits.py", FIELDS), working_dir)


def kill_at(step, action):
    """Lets a start of a run die where that step would be taken."""
    take_steps = loop._take_steps

    def take(run, block, batch):
        if block.steps[0] == step:
            raise Killed
        take_steps(run, block, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_take_steps", take)
        with pytest.raises(Killed):
            action()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    return started(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    """A run that died after five of eight steps; its newest checkpoint is of step 4."""
    working_dir = tmp_path_factory.mktemp("died")
    kill_at(6, lambda: started(working_dir))
    return next(working_dir.rglob(CONFIG_FILE)).parent


@pytest.fixture
def half(died, tmp_path):
    """A copy of it."""
    shutil.copytree(died.parents[1], tmp_path / "runs")
    return tmp_path / "runs" / died.relative_to(died.parents[1])


def files_in(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "log.txt"}


CHANGE = {"base_lr": 0.05, "total_epochs": 6}
MARKS = {"config/base_lr", "config/total_epochs"}


def test_a_run_that_is_killed_after_a_change_ends_as_one_that_is_not(tmp_path, half):
    copy = tmp_path / "whole" / "anything"
    shutil.copytree(half, copy)
    resume(copy, CHANGE)
    kill_at(6, lambda: resume(half, CHANGE))  # before a checkpoint
    kill_at(9, lambda: started(half.parents[1]))  # by the command that began it
    resume(half)
    assert (half / "metrics.jsonl").read_bytes() == (copy / "metrics.jsonl").read_bytes()
    ours, theirs = (read_newest_variables(folder)["params"] for folder in (half, copy))
    for name in theirs:
        for key in theirs[name]:
            np.testing.assert_array_equal(ours[name][key], theirs[name][key])
    marks = [line for line in read_metrics(half / "metrics.jsonl") if line.keys() & MARKS]
    assert marks == [{"step": 4, "config/base_lr": 0.05}, {"step": 4, "config/total_epochs": 6}]


def test_the_rate_is_that_of_the_new_schedule_from_the_step_of_the_change_on(half):
    resume(half, CHANGE)
    rates = {
        line["step"]: line["train/learning_rate"]
        for line in read_metrics(half / "metrics.jsonl")
        if "train/learning_rate" in line
    }
    assert list(rates) == list(range(1, 13))
    for step, rate in rates.items():
        lr, steps = (0.1, 4 * EPOCH) if step <= 4 else (0.05, 6 * EPOCH)
        expected = lr / 2 * (1 + np.cos(np.pi * (step - 1) / steps))
        np.testing.assert_allclose(rate, expected, rtol=1e-5)


def test_what_changed_is_in_the_config_and_its_history_and_said(half):
    resume(half, CHANGE)
    kept = read_config(half / CONFIG_FILE)
    assert (kept.fields["base_lr"], kept.fields["total_epochs"]) == (0.05, 6)
    assert [change[:4] for change in kept.history] == [
        (4, "base_lr", 0.1, 0.05),
        (4, "total_epochs", 4, 6),
    ]
    assert all(change.time.endswith("+00:00") for change in kept.history)
    log = (half / "log.txt").read_text()
    assert "From step 5 on, base_lr is 0.05 instead of 0.1" in log
    assert "The run has 6 epochs instead of 4: what is scheduled over its length" in log
    assert gnp.load_run(half).config.base_lr == 0.05
    assert read_run(half).config["changed"] == "base_lr=0.1->0.05@step4;total_epochs=4->6@step4"


def test_the_command_that_began_the_run_does_not_undo_the_change(half):
    resume(half, CHANGE)
    before = (half / CONFIG_FILE).read_bytes()
    assert started(half.parents[1]) == half
    assert (half / CONFIG_FILE).read_bytes() == before
    sentence = "was changed while it trained (base_lr = 0.05, total_epochs = 6), and continues"
    assert sentence in (half / "log.txt").read_text()
    changed = load_config("config/digits.py", [*FIELDS, "base_lr=0.05", "total_epochs=6"])
    assert run(changed, half.parents[1]) != half  # one that never had another rate


def test_a_second_change_is_one_more(half):
    kill_at(7, lambda: resume(half, {"base_lr": 0.05}))
    resume(half, {"base_lr": 0.1, "early_stopping_patience": 3})
    history = read_config(half / CONFIG_FILE).history
    assert [change[:4] for change in history] == [
        (4, "base_lr", 0.1, 0.05),
        (6, "base_lr", 0.05, 0.1),
        (6, "early_stopping_patience", 0, 3),
    ]
    started(half.parents[1])
    assert read_config(half / CONFIG_FILE).history == history


def test_a_change_counts_from_where_the_run_resumes_if_its_checkpoint_is_lost(half):
    kill_at(6, lambda: resume(half, {"base_lr": 0.05}))
    shutil.rmtree(half / "checkpoints" / "4")
    resume(half)
    assert [change[:2] for change in read_config(half / CONFIG_FILE).history] == [(2, "base_lr")]
    marks = [line for line in read_metrics(half / "metrics.jsonl") if "config/base_lr" in line]
    assert marks == [{"step": 2, "config/base_lr": 0.05}]
    assert "earlier changes count from step 2 on" in (half / "log.txt").read_text()


def test_a_finished_run_is_made_longer_and_is_not_finished_meanwhile(tmp_path, whole):
    folder = tmp_path / "moved"
    shutil.copytree(whole, folder)
    kill_at(10, lambda: resume(folder, {"total_epochs": 6}))
    assert not is_finished(folder)
    resume(folder)
    assert json.loads((folder / "summary.json").read_text())["steps"] == 12


def test_intervals_and_logging_change_too(half):
    logging = {"logging.tensorboard_logging_frequency": 2, "logging.basic_logger_level": "info"}
    resume(half, {"evaluate_every_n_epochs": 2, "save_ckpt_every_n_steps": 1} | logging)
    lines = read_metrics(half / "metrics.jsonl")
    assert [line["step"] for line in lines if "eval/loss" in line] == [2, 4, 8]
    assert [line["step"] for line in lines if "train/loss" in line] == [1, 2, 3, 4, 6, 8]
    assert (half / "checkpoints" / "7").exists()
    assert len(read_config(half / CONFIG_FILE).history) == 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gnp.r": 0.1}, r"gnp\.r is 0\.0 in .* and cannot become 0\.1 while the run trains"),
        ({"seeds": 1}, "seeds is 0 in .* and cannot become 1 while"),
        ({"model.model_params.width": 1}, "width is None in .* and cannot become 1 while"),
        ({"run_path": "reference"}, "run_path is 'short' in .* and cannot become"),
        ({"total_epochs": 3}, "total_epochs is 4 in .* and cannot become 3, as --resume only"),
        ({"retrain": True}, "retrain=True would delete it"),
        ({"nosuch": 1}, "nosuch, but there is no such field"),
        ({"base_lr": "much"}, "base_lr to 'much', but it takes a number"),
        ({"base_lr": -1.0}, r"base_lr is -1\.0; it must be at least 0"),
        ({"save_ckpt_every_n_epochs": 0}, "save_ckpt_every_n_epochs is 0; it must be at least 1"),
    ],
    ids=str,
)
def test_what_may_not_change_is_refused_and_nothing_is_written(died, changes, sentence):
    before = files_in(died)
    with pytest.raises(UserError, match=sentence):
        resume(died, changes)
    assert files_in(died) == before


def test_a_finished_run_takes_no_change_that_has_no_effect(whole):
    before = files_in(whole)
    with pytest.raises(UserError, match="is finished, so that base_lr would have no effect"):
        resume(whole, {"base_lr": 0.05})
    assert files_in(whole) == before


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no config\.json; name the folder of a run"):
        resume(tmp_path / "nosuch")
    assert not list(tmp_path.iterdir())


def test_a_run_that_began_with_retrain_is_not_deleted(tmp_path):
    config = load_config("config/digits.py", [*FIELDS, "retrain=True"])
    kill_at(6, lambda: run(config, tmp_path))
    folder = next(tmp_path.rglob(CONFIG_FILE)).parent
    resume(folder)
    assert "Resuming after step 4 of 8" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--config=digits"], "leave --config and --working_dir out"),
        (["--config.gnp.r=0.1"], "cannot become 0.1 while the run trains"),
    ],
)
def test_the_command_says_so_in_one_sentence(whole, flags, sentence):
    command = [sys.executable, "-m", "gnp.main.main", f"--resume={whole}", *flags]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
