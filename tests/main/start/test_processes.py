"""Trainings as processes: what is missing runs, failures are told, signals are passed on."""

import json
import os
import signal
import sys
import threading
import time
import types

import pytest

from gnp.errors import UserError
from gnp.main.start import processes
from gnp.runs.lock import is_in_use, lock_run
from gnp.training.interrupt import Interrupted

# A training of a moment. Its flags: the folder, the seconds that it takes, and its exit code.
TRAINING = """
import json, os, pathlib, signal, sys, time
folder, seconds, code = pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
folder.mkdir(exist_ok=True)
signal.signal(signal.SIGTERM, lambda *_: ((folder / "stopped").touch(), sys.exit(143)))
(folder / "began").write_text(json.dumps([time.time(), os.environ.get("CUDA_VISIBLE_DEVICES")]))
time.sleep(seconds)
if code:
    sys.stderr.write("Diverged.\\n")
    sys.exit(code)
(folder / "ended").write_text(json.dumps(time.time()))
(folder / "summary.json").write_text(os.environ["SUMMARY"])
"""


@pytest.fixture(autouse=True)
def _instead_of_training(tiny_run, monkeypatch):
    monkeypatch.setattr(processes, "_TRAIN", (sys.executable, "-c", TRAINING))
    monkeypatch.setenv("SUMMARY", (tiny_run / "summary.json").read_text())


def trainings(tmp_path, *jobs):
    return [
        types.SimpleNamespace(
            name=name, flags=[str(tmp_path / name), str(seconds), str(code)], folder=tmp_path / name
        )
        for name, seconds, code in jobs
    ]


def read(file):
    return json.loads(file.read_text())


def test_what_is_there_is_not_trained_again(tmp_path, capfd):
    jobs = trainings(tmp_path, ("a", 0, 0), ("b", 0, 0))
    assert processes.train_missing(jobs[:1], parallel=1) == []
    began = read(tmp_path / "a" / "began")
    assert processes.train_missing(jobs, parallel=1) == []
    assert read(tmp_path / "a" / "began") == began
    said = capfd.readouterr().err
    assert "1 of 2 trainings are there already." in said
    assert "2/2  b: " in said


@pytest.mark.parametrize("parallel", [1, 2])
def test_so_many_run_at_the_same_time(tmp_path, parallel):
    jobs = trainings(tmp_path, ("a", 1, 0), ("b", 1, 0))
    processes.train_missing(jobs, parallel)
    overlap = read(tmp_path / "b" / "began")[0] < read(tmp_path / "a" / "ended")
    assert overlap == (parallel == 2)


def test_gpus_are_shared_out(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,5")
    processes.train_missing(trainings(tmp_path, ("a", 1, 0), ("b", 1, 0)), parallel=2)
    assert [read(tmp_path / name / "began")[1] for name in "ab"] == ["0,2", "1,5"]


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_training_that_diverges_stops_no_other(tmp_path, parallel):
    jobs = trainings(tmp_path, ("a", 0, 3), ("b", 0, 0))
    (sentence,) = processes.train_missing(jobs, parallel)
    assert sentence == "a could not continue" + (", see above." if parallel == 1 else ": Diverged.")
    assert (tmp_path / "b" / "ended").exists()


def test_a_training_that_is_refused_stops_all(tmp_path):
    jobs = trainings(tmp_path, ("a", 0, 2), ("b", 0, 0))
    with pytest.raises(
        UserError, match=r"^a ended with code 2, see above\. 2 trainings are missing"
    ):
        processes.train_missing(jobs, parallel=1)
    assert not (tmp_path / "b").exists()


def holder(folder, begins):
    """A thread that has the folder for a second, from when a file exists."""

    def hold():
        while not begins.exists():
            time.sleep(0.05)
        with lock_run(folder):
            time.sleep(1)
            (folder / "released").write_text(json.dumps(time.time()))

    thread = threading.Thread(target=hold)
    thread.start()
    return thread


def test_what_another_process_trains_is_waited_for(tmp_path, capfd):
    """As of a command that was killed: its trainings go on."""
    folder = tmp_path / "a"
    thread = holder(folder, begins=tmp_path)
    while not is_in_use(folder):
        time.sleep(0.05)
    processes.train_missing(trainings(tmp_path, ("a", 0, 0), ("b", 0, 0)), parallel=2)
    thread.join()
    assert all(read(tmp_path / x / "began")[0] > read(folder / "released") for x in "ab")
    sentence = "a is trained by another process already; waiting for its end."
    assert capfd.readouterr().err.count(sentence) == 1


def test_a_folder_that_another_process_took_meanwhile_is_waited_for(tmp_path):
    folder = tmp_path / "a"
    thread = holder(folder, begins=folder / "began")
    with pytest.raises(UserError, match=r"^a ended with code 2"):
        processes.train_missing(trainings(tmp_path, ("a", 0.7, 2)), parallel=1)
    thread.join()
    assert read(folder / "began")[0] > read(folder / "released")


def test_a_signal_is_passed_on_and_the_rest_is_not_begun(tmp_path):
    def stop():
        while not all((tmp_path / name / "began").exists() for name in "ab"):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=stop)
    killer.start()
    jobs = trainings(tmp_path, ("a", 60, 0), ("b", 60, 0), ("c", 0, 0))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="0 of 3 trainings done; the same command resumes"):
        processes.train_missing(jobs, parallel=2)
    killer.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert sorted(p.parent.name for p in tmp_path.glob("*/stopped")) == ["a", "b"]
    assert not (tmp_path / "c").exists()
