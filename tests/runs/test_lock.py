"""A run's folder belongs to one process at a time."""

import os
import signal
import subprocess
import sys

import pytest

from gnp.errors import UserError
from gnp.runs.lock import lock_run

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
