"""Order of the contenders in the rounds, and their figures."""

import pytest

from benchmark import timing


def test_all_run_once_a_round_in_alternating_order():
    runs = []

    def contender(name, seconds):
        def run(steps):
            runs.append((name, steps))
            return seconds * steps

        return run

    times = timing.in_rounds(
        {"slow": contender("slow", 0.5), "fast": contender("fast", 0.1)}, rounds=2, seconds=1.0
    )
    assert runs[2:] == [("slow", 2), ("fast", 10), ("fast", 10), ("slow", 2)]
    assert times["slow"] == [0.5, 0.5]
    assert times["fast"] == pytest.approx([0.1, 0.1])


def test_a_rate_excludes_the_first_call(monkeypatch):
    clock = iter([0.0, 0.0, 0.25, 0.5, 1.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    runs = []
    assert timing.rate(lambda: runs.append(1), seconds=0.9) == 3.0
    assert len(runs) == 4


def test_each_is_first_once():
    orders = [timing.rotated(["a", "b", "c"], index) for index in range(4)]
    assert ["".join(order) for order in orders] == ["abc", "bca", "cab", "abc"]


def test_a_ratio_compares_figures_of_the_same_round():
    # The machine was three times as slow in the second round, for both.
    assert timing.ratio([2.0, 6.0, 2.0], [1.0, 3.0, 1.0]) == 2.0


def test_the_summary_is_in_milliseconds():
    assert timing.summary([0.003, 0.001, 0.002]) == {
        "median_ms": 2.0,
        "min_ms": 1.0,
        "max_ms": 3.0,
    }
