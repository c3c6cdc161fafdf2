"""What a user sees of a run while it trains."""

import pytest

from gnp.training.monitoring import progress as progress_module
from gnp.training.monitoring.progress import Counter, Progress
from gnp.training.position import RunLength


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


def test_without_a_terminal_there_is_a_plain_line_per_epoch_with_its_own_means(clock, capsys):
    with Progress(RunLength(4, 10, 64), 0) as progress:
        run_steps(progress, clock, 1, 40, seconds=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    mean = sum(1 / step for step in range(1, 11)) / 10
    assert lines[0] == (
        f"epoch 1/4  step 10/40  loss {mean:.3f}  error {50 * mean:.1f} %  64 images/s  00:30 left"
    )
    mean = sum(1 / step for step in range(31, 41)) / 10
    assert f"epoch 4/4  step 40/40  loss {mean:.3f}" in lines[3]
    assert not any("\r" in line for line in lines)


def test_short_epochs_have_a_line_each(clock, capsys):
    with Progress(RunLength(20, 10, 64), 0) as progress:
        run_steps(progress, clock, 1, 200, seconds=0.01)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[3] for line in lines] == [f"{10 * n}/200" for n in range(1, 21)]


def test_metrics_that_come_late_count_for_their_own_epoch(clock, capsys):
    with Progress(RunLength(2, 2, 1), 0) as progress:
        for step in range(1, 5):  # sent, but not computed yet
            progress.update(step, None)
        for step in range(1, 5):
            progress.update(step, {"train/loss": float(step)})
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("epoch 1/2  step 2/4  loss 1.500")
    assert last.startswith("epoch 2/2  step 4/4  loss 3.500")


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


def test_an_evaluation_is_in_the_line_of_its_epoch_alone(clock, capsys):
    with Progress(RunLength(3, 2, 1), 0) as progress:
        run_steps(progress, clock, 1, 4, seconds=1.0)
        progress.update(4, {"eval/error_rate": 0.0225})
        run_steps(progress, clock, 5, 6, seconds=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert ["eval 2.25 %" in line for line in lines if "step 4/6" in line] == [True]
    assert ["eval" in line for line in lines if "step 4/6" not in line] == [False] * 2


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


def count(clock, seconds):
    with Counter(100, "files", done=10) as counter:
        for _ in range(90):
            clock.now += seconds
            counter.update()


def test_what_takes_long_says_how_much_is_done(clock, capsys):
    count(clock, seconds=1.0)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "40 of 100 files, 01:00 left"
    assert last == "100 of 100 files, 00:00 left"


def test_what_is_quick_says_nothing(clock, capsys):
    count(clock, seconds=0.1)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_the_count_is_a_bar(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress_module.sys.stderr, "isatty", lambda: True)
    count(clock, seconds=1.0)
    assert "100/100" in capsys.readouterr().err
