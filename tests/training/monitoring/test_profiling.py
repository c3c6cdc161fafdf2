"""Traces of some steps: which ones, and where they lie."""

import jax
import pytest

from gnp.training.interrupt import Interrupted
from gnp.training.monitoring.profiling import Profiler, steps_to_profile
from tests.training.interruptions import InterruptedSource
from tests.training.test_loop import run


@pytest.fixture
def calls(monkeypatch):
    """What is asked of the profiler, in order."""
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    return calls


def take_steps(calls, folder, steps, first, last):
    profiler = Profiler(steps_to_profile(steps), folder, wait=lambda: calls.append("wait"))
    for step in range(first, last + 1):
        with profiler.steps(range(step, step + 1)):
            calls.append(step)
    profiler.close()
    return calls


def test_the_trace_has_the_steps_and_no_others(calls, tmp_path):
    take_steps(calls, tmp_path, "3:4", 1, 5)
    assert calls == [1, 2, "wait", "start", 3, 4, "wait", "stop", 5]


def test_one_step(calls, tmp_path):
    take_steps(calls, tmp_path, "1:1", 1, 2)
    assert calls == ["wait", "start", 1, "wait", "stop", 2]


def test_steps_that_are_sent_together_are_traced_if_one_of_them_is_asked_for(calls, tmp_path):
    profiler = Profiler(steps_to_profile("3:5"), tmp_path, wait=lambda: None)
    for steps in (range(1, 3), range(3, 5), range(5, 7), range(7, 9)):
        with profiler.steps(steps):
            calls.append(steps[0])
    assert calls == [1, "start", 3, 5, "stop", 7]


def test_a_run_that_goes_on_traces_the_steps_that_are_left(calls, tmp_path):
    take_steps(calls, tmp_path, "2:4", 3, 5)
    assert calls == ["wait", "start", 3, 4, "wait", "stop", 5]


def test_a_trace_is_written_though_the_run_ends(calls, tmp_path):
    take_steps(calls, tmp_path, "2:9", 1, 2)
    assert calls == [1, "wait", "start", 2, "wait", "stop"]


def test_nothing_is_traced_unless_wished(calls, tmp_path):
    take_steps(calls, tmp_path, "", 1, 2)
    assert calls == [1, 2]


def traces(folder):
    return list((folder / "profile" / "plugins" / "profile").glob("*/*.xplane.pb"))


def test_a_run_leaves_a_trace_where_tensorboard_looks_for_it(tmp_path):
    run(tmp_path, profile_steps="2:3", total_epochs=1)
    (trace,) = traces(tmp_path)
    content = trace.read_bytes()
    assert b"train" in content
    assert b"step_num" in content


def test_a_run_that_is_stopped_leaves_what_it_traced(tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path, InterruptedSource(before_batch=6), profile_steps="2:100")
    assert len(traces(tmp_path)) == 1


def test_a_trace_that_cannot_be_written_ends_no_run(tmp_path, monkeypatch, caplog):
    stop = jax.profiler.stop_trace

    def stop_on_a_full_disk():
        stop()
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: No space left on device")

    monkeypatch.setattr(jax.profiler, "stop_trace", stop_on_a_full_disk)
    assert run(tmp_path, profile_steps="2:3", total_epochs=1)["steps"] == 4
    assert caplog.text.count("The profile cannot be written; training continues.") == 1
