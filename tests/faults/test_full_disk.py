"""A disk without room: the run trains to its end and says what is lost, and nothing before is."""

import json
import subprocess
import sys

import pytest

from gnp.errors import CannotWriteError, NotSavedError, UserError
from gnp.main.report import report
from gnp.runs.metrics import read_metrics
from gnp.training.interrupt import Interrupted
from tests.faults.disks import disk
from tests.faults.small_run import FIELDS, ROOT, run_folder, train
from tests.training.interruptions import stop_after


def contents(folder):
    """What is in all files, but for the lock and the log."""
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "log.txt")
    }


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """They take a while; this is as large as one."""

    def draw_curves(metrics, path, marks):
        from gnp.files import write_atomically

        write_atomically(path, bytes(200_000))

    monkeypatch.setattr("gnp.runs.summary.draw_curves", draw_curves)


@pytest.mark.parametrize(
    "options",
    [{"size": f"{size}k"} for size in (60, 120, 180)] + [{"nr_inodes": n} for n in (27, 40, 60)],
    ids=str,
)
def test_a_run_ends_with_its_numbers_and_resumes_when_there_is_room(
    tmp_path, undisturbed, capsys, options
):
    expected = json.loads((undisturbed / "summary.json").read_text())
    with disk(tmp_path / "disk", **options) as small:
        with pytest.raises(NotSavedError) as error:
            train(small.folder)
        assert error.value.summary["final"] == expected["final"]
        assert error.value.summary["best"] == expected["best"]
        assert "Test error" in capsys.readouterr().out
        folder, said = run_folder(small.folder), str(error.value)
        for name in ("curves.png", "summary.json"):
            assert (name in said) != (folder / name).exists()
        assert ("checkpoint of step 8" in said) != (folder / "checkpoints" / "8").exists()
        small.resize(size="8m", nr_inodes=0)
        train(small.folder)
        assert json.loads((folder / "summary.json").read_text())["best"] == expected["best"]
        metrics = read_metrics(undisturbed / "metrics.jsonl")
        assert read_metrics(folder / "metrics.jsonl") == metrics


@pytest.mark.parametrize("options", [{"size": "4k"}, *({"nr_inodes": n} for n in range(2, 11, 2))])
def test_without_room_at_the_start_there_is_one_sentence(tmp_path, options):
    sentence = r"cannot be written \(No space left on device\)"
    with disk(tmp_path / "disk", **options) as small, pytest.raises(UserError, match=sentence):
        train(small.folder)


@pytest.mark.parametrize("stopped", [True, False], ids=["unfinished", "finished"])
def test_started_again_without_room_a_run_stays_as_it_is(tmp_path, monkeypatch, stopped):
    with disk(tmp_path / "disk", size="8m") as small:
        if stopped:
            stop_after(3, monkeypatch)
            with pytest.raises(Interrupted):
                train(small.folder)
        else:
            train(small.folder)
        small.fill()
        before = contents(small.folder)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
            train(small.folder)
        assert contents(small.folder) == before
        (small.folder / "full").unlink()
        train(small.folder)


def test_stopped_without_room_a_run_says_where_it_resumes(tmp_path, monkeypatch):
    with disk(tmp_path / "disk", size="60k") as small:
        stop_after(5, monkeypatch)
        with pytest.raises(Interrupted, match=r"step 5 of 8; it could not be saved\..* resumes"):
            train(small.folder)


@pytest.mark.parametrize("to_the_disk", [False, True], ids=["pipe", "file on the disk"])
def test_the_command_says_it_without_a_traceback(tmp_path, to_the_disk):
    command = [sys.executable, "-m", "gnp.main.main", "--config=config/digits.py"]
    command += [f"--config.{field}" for field in FIELDS]
    with disk(tmp_path / "disk", size="60k") as small:
        output = small.folder / "output.txt" if to_the_disk else tmp_path / "output.txt"
        with output.open("w") as file:
            done = subprocess.run(
                [*command, f"--working_dir={small.folder}"],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        assert done.returncode == 4
        said = output.read_text()
    assert "Traceback" not in said
    assert to_the_disk or "Test error" in said
    assert to_the_disk or "The run is trained to its end, but these are not in" in said


def test_what_a_command_has_found_is_printed_though_it_cannot_be_written(
    tmp_path, undisturbed, capsys
):
    with disk(tmp_path / "disk", size="16k") as small:
        with pytest.raises(CannotWriteError, match=r"curves\.png cannot be written \(No space"):
            report([str(undisturbed)], small.folder / "out")
        assert not (small.folder / "out" / "curves.png").exists()
    assert "test error (%)" in capsys.readouterr().out
