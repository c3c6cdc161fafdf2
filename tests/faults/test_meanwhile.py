"""What others do to a run's folder while it trains."""

import contextlib
import os
import shutil

import pytest

from gnp.errors import NotSavedError, TrainingError
from gnp.runs.lock import lock_run
from gnp.runs.metrics import read_metrics
from gnp.training.interrupt import Interrupted
from gnp.training.monitoring.monitor import Monitor
from tests.faults.small_run import run_folder, train
from tests.training.interruptions import stop_after


@pytest.fixture
def when_it_evaluates(monkeypatch):
    """A function that makes the next evaluation call another function, once."""
    add = Monitor.add_evaluation
    functions = []

    def add_evaluation(*arguments):
        while functions:
            functions.pop()()
        add(*arguments)

    monkeypatch.setattr(Monitor, "add_evaluation", add_evaluation)
    return functions.append


def test_a_folder_that_is_deleted_meanwhile_ends_no_run(
    tmp_path, undisturbed, monkeypatch, when_it_evaluates, capsys
):
    stop_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        train(tmp_path)
    folder = run_folder(tmp_path)
    when_it_evaluates(lambda: shutil.rmtree(folder))
    with pytest.raises(NotSavedError, match=r"config\.json, data\.json.* was deleted"):
        train(tmp_path)
    assert "Test error" in capsys.readouterr().out
    assert read_metrics(folder / "metrics.jsonl") == read_metrics(undisturbed / "metrics.jsonl")
    train(tmp_path)
    assert (folder / "config.json").read_text() == (undisturbed / "config.json").read_text()


@pytest.mark.parametrize("name", ["metrics.jsonl", "timings.jsonl", ".lock"])
def test_a_file_that_is_deleted_meanwhile_is_put_back(
    tmp_path, undisturbed, monkeypatch, when_it_evaluates, name
):
    stop_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        train(tmp_path)
    folder = run_folder(tmp_path)
    when_it_evaluates(lambda: os.unlink(folder / name))
    train(tmp_path)
    assert (folder / name).exists()
    assert read_metrics(folder / "metrics.jsonl") == read_metrics(undisturbed / "metrics.jsonl")
    train(tmp_path)


def test_a_run_whose_folder_another_process_has_taken_writes_no_more(
    tmp_path, monkeypatch, when_it_evaluates
):
    stop_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        train(tmp_path)
    folder = run_folder(tmp_path)

    with contextlib.ExitStack() as other:

        def take():
            (folder / ".lock").unlink()
            other.enter_context(lock_run(folder))

        when_it_evaluates(take)
        with pytest.raises(TrainingError, match="another process took the folder"):
            train(tmp_path)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["2", "3"]
    train(tmp_path)
