"""Times of steps, by a clock that the tests move, and what is made of them."""

import threading
import time

import numpy as np
import pytest

from gnp.runs.folder import TIMINGS_FILE
from gnp.runs.metrics import read_metrics
from gnp.runs.summary import over_all
from gnp.training.monitoring import throughput
from gnp.training.monitoring.throughput import Throughput, TimedStep, flops, memory, speed
from gnp.training.step_schedule import StepBlock
from tests.runs.test_metrics import read_events
from tests.training.test_loop import run


class Clock:
    """Stands still unless it is moved."""

    now = 100.0


class Step:
    """The result of a step, ready when the test says so."""

    def __init__(self):
        self._ready = threading.Event()

    def block_until_ready(self):
        self._ready.wait(10)

    def finish(self):
        self._ready.set()


class FailingStep:
    def block_until_ready(self):
        raise RuntimeError("the device is gone")


class Records(list):
    def write(self, step, metrics):
        self.append({"step": step, **metrics})


class Training:
    """A training loop in slow motion."""

    def __init__(self):
        self.records = Records()
        self.throughput = Throughput(self.records, batch_size=10, forward_flops=None)
        self.under_way = []
        self._seconds_to_load = 0.0
        self._batches = self.throughput.batches(self._load())
        self._step = 0

    def _load(self):
        while True:
            Clock.now += self._seconds_to_load
            yield "batch"

    def send(self, load=0.0, is_penalized=False, result=None, count=1):
        """Waits so many seconds for a batch and sends its steps."""
        self._seconds_to_load = load
        next(self._batches)
        block = StepBlock(self._step, count, is_penalized)
        self._step += count
        self.under_way.append(result or Step())
        self.throughput.add(block, 1.0, self.under_way[-1])  # a one-pass form: always one

    def finish(self, after):
        """Moves the clock and ends the oldest step."""
        Clock.now += after
        left = self.throughput._sent.unfinished_tasks
        self.under_way.pop(0).finish()
        wait_until(lambda: self.throughput._sent.unfinished_tasks == left - 1)


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("nothing happened for ten seconds")


@pytest.fixture
def training(monkeypatch):
    monkeypatch.setattr(Clock, "now", 100.0)
    monkeypatch.setattr(throughput.time, "monotonic", lambda: Clock.now)
    training = Training()
    training.send()
    training.finish(after=50.0)  # the step that compiles
    training.throughput.pause()
    assert training.records == [{"step": 1, "time/first_step_seconds": 50.0}]
    training.records.clear()
    yield training
    training.throughput.close()
    assert not training.throughput._thread.is_alive()


def test_a_step_lasts_from_the_end_of_the_one_before(training):
    for _ in range(4):
        training.send()
    for seconds in (1.0, 2.0, 3.0, 10.0):
        training.finish(after=seconds)
    training.throughput.pause()
    (record,) = training.records
    assert record == {
        "step": 5,
        "time/steps": 4,
        "time/seconds": 16.0,
        "time/images_per_second": 2.5,
        "time/step_ms_median": 2500.0,
        "time/step_ms_p95": pytest.approx(3000 + 0.85 * 7000),
        "time/data_wait_ms": 0.0,
        "time/data_wait_share": 0.0,
    }


def test_only_the_wait_while_no_step_runs_counts(training):
    training.send()
    training.send(load=3.0)  # the step before runs on for a second more
    training.finish(after=1.0)
    training.finish(after=2.0)
    training.send(load=5.0)  # nothing runs meanwhile
    training.finish(after=1.0)
    training.throughput.pause()
    (record,) = training.records
    assert record["time/seconds"] == 4.0 + 2.0 + 6.0
    assert record["time/data_wait_ms"] == pytest.approx(5000 / 3)
    assert record["time/data_wait_share"] == pytest.approx(5 / 12)


def test_a_pause_is_nobodys_time(training):
    training.send()
    training.finish(after=1.0)
    training.throughput.pause()
    Clock.now += 1000.0
    training.send(load=0.5)
    training.finish(after=1.5)
    training.throughput.pause()
    assert [record["time/seconds"] for record in training.records] == [1.0, 2.0]
    assert [record["time/data_wait_ms"] for record in training.records] == [0.0, 500.0]


def test_each_program_compiles_once(training):
    for seconds in (60.0, 2.0):
        training.send(is_penalized=True)
        training.finish(after=seconds)
    training.send()
    training.finish(after=1.0)
    training.throughput.pause()
    assert [record["time/seconds"] for record in training.records] == [3.0]
    assert [record["time/first_step_seconds"] for record in training.records] == [60.0]


def test_a_long_epoch_has_a_record_per_window(training, monkeypatch):
    monkeypatch.setattr(throughput, "WINDOW_STEPS", 3)
    for _ in range(8):
        training.send()
        training.finish(after=1.0)
    training.throughput.pause()
    assert [(record["step"], record["time/steps"]) for record in training.records] == [
        (4, 3),
        (7, 3),
        (9, 2),
    ]


def test_nothing_to_tell_writes_nothing(training):
    training.throughput.pause()
    assert training.records == []


def test_a_step_that_fails_is_left_to_the_loop(training):
    training.send(result=FailingStep())
    training.throughput.pause()
    assert training.records == []


def test_flops_count_three_forward_passes_per_pass(monkeypatch):
    monkeypatch.setattr(throughput, "peak_flops", lambda kind: 1e13)
    steps = [TimedStep(1, 1, 0.5, 0.0), TimedStep(2, 2, 1.5, 0.0)]
    # 3 passes x 3 x 64 images x 1e9 FLOPs in 2 seconds on 4 devices
    assert flops(steps, batch_size=64, forward_flops=1e9) == pytest.approx(
        {"time/model_tflops": 0.072, "time/model_flops_utilization": 0.0072}
    )


def test_without_a_peak_there_is_no_utilization():
    steps = [TimedStep(1, 1, 1.0, 0.0)]
    assert flops(steps, batch_size=4, forward_flops=1e12).keys() == {"time/model_tflops"}
    assert flops(steps, batch_size=4, forward_flops=None) == {}


class Device:
    def __init__(self, stats):
        self._stats = stats

    def memory_stats(self):
        return self._stats


def test_memory_is_that_of_the_fullest_device():
    devices = [
        Device({"bytes_in_use": 2e9, "peak_bytes_in_use": 3e9}),
        Device({"bytes_in_use": 1e9, "peak_bytes_in_use": 5e9}),
    ]
    assert memory(devices) == {"time/device_memory_gb": 2.0, "time/device_memory_peak_gb": 5.0}


def test_devices_that_do_not_tell_their_memory():
    assert memory([Device(None)]) == {}
    assert memory([Device({"bytes_in_use": 1e9})]) == {"time/device_memory_gb": 1.0}


def test_a_whole_runs_speed_weighs_windows_by_their_steps():
    slow = speed([TimedStep(step, 1, 3.0, 1.0) for step in range(2)], batch_size=30)
    fast = speed([TimedStep(step, 1, 1.0, 0.0) for step in range(6)], batch_size=30)
    slow["time/first_step_seconds"] = 9.0
    only_compiled = {"time/first_step_seconds": 50.0}
    assert over_all([only_compiled, slow, fast]) == {
        "images_per_second": 20.0,
        "step_ms_median": 1000.0,
        "data_wait_share": round(2 / 12, 4),
        "first_step_seconds": 59.0,
    }
    assert over_all([]) == over_all([only_compiled]) == {}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        windows = [
            slow | {"time/steps": int(count), "time/step_ms_median": float(median)}
            for count, median in zip(rng.integers(1, 6, 7), rng.normal(size=7), strict=True)
        ]
        steps = [w["time/steps"] for w in windows]
        expected = np.median(np.repeat([w["time/step_ms_median"] for w in windows], steps))
        assert over_all(windows)["step_ms_median"] == round(float(expected), 3)


def test_a_run_leaves_its_timings(tmp_path):
    summary = run(tmp_path)
    timings = read_metrics(tmp_path / TIMINGS_FILE)
    # Four steps an epoch, and the first one compiles.
    assert [(line["step"], line["time/steps"]) for line in timings] == [(4, 3), (8, 4), (12, 4)]
    assert summary["timing"] == over_all(timings)
    tags = {value.tag for event in read_events(tmp_path) for value in event.summary.value}
    assert {"time/images_per_second", "train/loss", "eval/loss"} <= tags
    for line in timings:
        assert np.isclose(
            line["time/images_per_second"], 16 * line["time/steps"] / line["time/seconds"]
        )


def test_steps_that_are_sent_together_share_their_time(training):
    training.send(count=4)
    training.finish(after=50.0)  # they are another program, which compiles
    training.send(count=4)
    training.finish(after=2.0)
    training.throughput.pause()
    (record,) = training.records
    assert (record["step"], record["time/steps"]) == (9, 4)
    assert (record["time/seconds"], record["time/step_ms_p95"]) == (2.0, 500.0)
