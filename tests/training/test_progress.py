"""What a user sees of a run while it trains."""

import pytest

from gnp.training import progress as progress_module
from gnp.training.position import RunLength
from gnp.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress_module.time, "monotonic", lambda: Clock.now)
    return Clock


def run_steps(progress, clock, first, last, seconds):
    for step in range(first, last + 1):
        clock.now += seconds
        progress.update(step, {"train/loss": 1 / step, "train/error_rate": 0.5 / step})


def test_without_a_terminal_there_is_a_plain_line_per_epoch(clock, capsys):
    with Progress(RunLength(4, 10, 64), 0) as progress:
        run_steps(progress, clock, 1, 40, seconds=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0] == ("epoch 1/4  step 10/40  loss 0.100  error 5.0 %  64 images/s  00:30 left")
    assert not any("\r" in line for line in lines)


def test_short_epochs_do_not_fill_the_log(clock, capsys):
    with Progress(RunLength(100, 10, 64), 0) as progress:
        run_steps(progress, clock, 1, 1000, seconds=0.01)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[3] for line in lines] == ["500/1000", "1000/1000"]


def test_a_long_epoch_has_lines_in_between(clock, capsys):
    with Progress(RunLength(1, 100, 1), 0) as progress:
        run_steps(progress, clock, 1, 100, seconds=1.0)
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_a_resumed_run_counts_on_but_measures_its_own_speed(clock, capsys):
    with Progress(RunLength(4, 10, 2), 30) as progress:
        run_steps(progress, clock, 31, 40, seconds=1.0)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("epoch 4/4  step 40/40")
    assert "  2 images/s" in line


def test_the_time_for_compiling_the_first_step_is_not_taken_for_slowness(clock, capsys):
    with Progress(RunLength(2, 10, 2), 0) as progress:
        run_steps(progress, clock, 1, 1, seconds=60.0)
        run_steps(progress, clock, 2, 10, seconds=1.0)
    assert "2 images/s  00:10 left" in capsys.readouterr().err.splitlines()[-1]


def test_the_evaluation_error_stays_shown(clock, capsys):
    with Progress(RunLength(2, 2, 1), 0) as progress:
        progress.update(2, {"eval/error_rate": 0.0225})
        run_steps(progress, clock, 3, 4, seconds=10.0)
    assert "eval 2.25 %" in capsys.readouterr().err.splitlines()[-1]


def test_notes_are_printed(capsys):
    with Progress(RunLength(2, 2, 1), 0) as progress:
        progress.note("Saved a checkpoint.")
    assert capsys.readouterr().err == "Saved a checkpoint.\n"


def test_processes_that_do_not_show_are_silent(clock, capsys):
    with Progress(RunLength(2, 2, 1), 0, show=False) as progress:
        run_steps(progress, clock, 1, 4, seconds=100.0)
        progress.note("nothing")
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress_module.sys.stderr, "isatty", lambda: True)
    with Progress(RunLength(4, 10, 64), 0) as progress:
        run_steps(progress, clock, 1, 40, seconds=1.0)
        progress.note("a note")
    shown = capsys.readouterr().err
    assert "100% " in shown
    assert "epoch 4/4  step 40/40" in shown
    assert "a note\n" in shown
