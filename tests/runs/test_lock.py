"""A run's folder belongs to one process at a time."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from gnp.errors import TrainingError, UserError
from gnp.runs.lock import lock_run
from tests.training.full_disk import files_of_at_most

HOLD = (
    "import pathlib, sys, time\n"
    "from gnp.runs.lock import lock_run\n"
    "with lock_run(pathlib.Path(sys.argv[1])):\n"
    "    print('locked', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_second_process_is_refused_and_told_who_holds_the_folder(tmp_path, holder):
    with pytest.raises(UserError, match=f"in use by process {holder.pid} on "), lock_run(tmp_path):
        pass


def test_lock_of_a_killed_process_holds_nobody_up(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock_run(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()


def test_lock_is_given_back(tmp_path):
    for _ in range(2):
        with lock_run(tmp_path / "new"):
            pass


def test_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    with pytest.raises(UserError, match=r"cannot be written .*--working_dir"), lock_run(folder):
        pass


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_lock_that_is_no_file_is_named(tmp_path, kind):
    make = os.mkdir if kind == "folder" else os.mkfifo
    make(tmp_path / ".lock")
    sentence = r"\.lock is .*, but a file belongs there; move it"
    with pytest.raises(UserError, match=sentence), lock_run(tmp_path):
        pass


def test_a_lock_whose_file_was_deleted_is_taken_again(tmp_path):
    with lock_run(tmp_path) as lock:
        (tmp_path / ".lock").unlink()
        lock.check()
        sentence = f"in use by process {os.getpid()}"
        with pytest.raises(UserError, match=sentence), lock_run(tmp_path):
            pass


def test_a_folder_that_another_process_has_taken_is_left_to_it(tmp_path):
    with lock_run(tmp_path) as first:
        (tmp_path / ".lock").unlink()
        with lock_run(tmp_path) as second:
            second.check()
            with pytest.raises(TrainingError, match=r"\.lock was deleted, and another process"):
                first.check()
        first.check()  # the other one has ended


def test_a_folder_that_is_gone_is_nobodys(tmp_path):
    with lock_run(tmp_path / "run") as lock:
        (tmp_path / "run" / ".lock").unlink()
        (tmp_path / "run").rmdir()
        lock.check()


def test_a_lock_that_is_replaced_while_it_is_taken_is_not_held(tmp_path, monkeypatch):
    """Between opening the file and locking it."""
    lock = fcntl.flock
    replaced = []

    def replace_and_lock(file, how):
        if not replaced:
            replaced.append((tmp_path / ".lock").rename(tmp_path / "old"))
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", replace_and_lock)
    with lock_run(tmp_path), pytest.raises(UserError, match="in use"), lock_run(tmp_path):
        pass


def test_a_full_disk_takes_the_lock_though_not_who_holds_it(tmp_path):
    (tmp_path / ".lock").touch()
    with files_of_at_most(0), lock_run(tmp_path) as lock:
        lock.check()
        with pytest.raises(UserError, match="in use by another process"), lock_run(tmp_path):
            pass
