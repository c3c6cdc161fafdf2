"""Weights & Biases: what we ask of it, and that it takes it, offline."""

import contextlib
import importlib.util
import sys
import time
import types

import pytest

from gnp.errors import UserError
from gnp.runs.wandb_writer import WANDB_ID_FILE, WandbWriter
from tests.training.interruptions import DyingSource
from tests.training.test_loop import run
from tests.training.toy import toy_config


class FakeRun:
    def __init__(self, arguments):
        self.arguments = arguments
        self.axes = {}
        self.logged = []
        self.is_finished = False

    def define_metric(self, name, step_metric):
        self.axes[name] = step_metric

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.is_finished = True


@pytest.fixture
def runs(monkeypatch):
    """A package wandb that keeps what it gets: the runs, in the order in which they began."""
    runs = []

    def init(**arguments):
        runs.append(FakeRun(arguments))
        return runs[-1]

    fake = types.ModuleType("wandb")
    fake.__spec__ = importlib.util.spec_from_loader("wandb", loader=None)
    fake.init, fake.Error, fake.Settings = init, RuntimeError, dict
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return runs


def test_metrics_are_sent_with_their_step_as_axis(runs, tmp_path):
    with contextlib.closing(WandbWriter(tmp_path, toy_config().to_dict())) as writer:
        writer.write(7, {"train/loss": 0.5})
        writer.write(5, {"time/steps": 5})
    (sent,) = runs
    assert sent.logged == [{"step": 7, "train/loss": 0.5}, {"step": 5, "time/steps": 5}]
    assert sent.axes == {"*": "step"}
    assert sent.is_finished
    assert sent.arguments["project"] == "gnp"
    assert sent.arguments["dir"] == tmp_path
    assert sent.arguments["config"]["gnp"]["alpha"] == 0.8


def test_the_project_may_be_chosen(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "flat")
    WandbWriter(tmp_path, toy_config().to_dict()).close()
    assert runs[0].arguments["project"] == "flat"


def test_a_run_that_goes_on_has_one_id_and_others_have_their_own(runs, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    for folder in (folders[0], folders[0], folders[1]):
        WandbWriter(folder, toy_config().to_dict()).close()
    first, again, other = (sent.arguments["id"] for sent in runs)
    assert first == again == (folders[0] / WANDB_ID_FILE).read_text().strip()
    assert first != other
    assert {sent.arguments["resume"] for sent in runs} == {"allow"}


def test_a_crashed_run_sends_all_its_metrics_and_timings(runs, tmp_path):
    settings = {"logging.wandb": True}
    with pytest.raises(OSError, match="disk"):
        run(tmp_path, DyingSource(before_batch=8), **settings)
    run(tmp_path, **settings)
    assert all(sent.is_finished for sent in runs)
    sent = [values for one in runs for values in one.logged]
    assert {v["step"] for v in sent if "train/loss" in v} == set(range(1, 13))
    assert {v["step"] for v in sent if "eval/loss" in v} == {4, 8, 12}
    assert {v["step"] for v in sent if "time/images_per_second" in v} >= {4, 12}


def test_a_server_that_is_not_there_is_said_in_one_sentence(runs, tmp_path, monkeypatch):
    def refuse(**arguments):
        raise sys.modules["wandb"].Error("No API key configured.")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(UserError, match=r"\(No API key configured\); run `wandb login`"):
        WandbWriter(tmp_path, toy_config().to_dict())


def test_without_the_package_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "gnp-jax\[wandb\]"') as error:
        WandbWriter(tmp_path, toy_config().to_dict())
    assert "\n" not in str(error.value)


def test_the_real_package_keeps_a_run_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with contextlib.closing(WandbWriter(tmp_path, toy_config().to_dict())) as writer:
        writer.write(3, {"train/loss": 0.123456})
        writer.write(2, {"time/steps": 2})
    name = (tmp_path / WANDB_ID_FILE).read_text().strip()
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb")
    # Its service may write a moment longer.
    deadline = time.monotonic() + 10
    while b"time/steps" not in file.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert b"train/loss" in file.read_bytes()
    assert b"time/steps" in file.read_bytes()


def test_an_id_that_is_no_text_is_named(runs, tmp_path):
    (tmp_path / WANDB_ID_FILE).write_bytes(b"\xff")
    with pytest.raises(UserError, match=rf"{WANDB_ID_FILE} is damaged"):
        WandbWriter(tmp_path, toy_config().to_dict())
