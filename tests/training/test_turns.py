"""Which steps are sent to the devices together, and that nothing else changes."""

import itertools
import signal

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnp.runs.metrics import read_metrics
from gnp.training import parallel
from gnp.training.interrupt import Interrupted, StopRequest
from gnp.training.loop import train
from gnp.training.step_schedule import Turn, batches_of_turns, plan_turns
from tests.training.toy import ToyModel, ToySource, toy_config

pytestmark = pytest.mark.usefixtures("_compile_fast")


def test_whole_blocks_of_one_kind_are_turns():
    kinds = "aaaa" + "aabb" + "bbbb" + "bb"
    blocks = [Turn(0, 4), Turn(4, 1), Turn(5, 1), Turn(6, 1), Turn(7, 1), Turn(8, 4)]
    assert plan_turns(kinds, 0, 4) == [*blocks, Turn(12, 1), Turn(13, 1)]


def test_a_step_that_is_left_out_is_a_turn_of_its_own():
    assert plan_turns("aaaaaa", 0, 3, alone=[1]) == [Turn(0, 1), Turn(1, 1), Turn(2, 1), Turn(3, 3)]


@given(
    kinds=st.lists(st.sampled_from("ab"), min_size=1, max_size=30),
    steps_per_loop=st.integers(1, 8),
    stopped_after=st.integers(0, 30),
)
def test_a_run_that_goes_on_takes_the_same_turns(kinds, steps_per_loop, stopped_after):
    turns = plan_turns(kinds, 0, steps_per_loop)
    assert [i for turn in turns for i in range(turn.first, turn.first + turn.count)] == list(
        range(len(kinds))
    )
    left = turns[stopped_after:]
    if left:
        assert plan_turns(kinds, left[0].first, steps_per_loop) == left


def test_the_batches_of_a_turn():
    turns = [Turn(0, 2), Turn(2, 1)]
    assert list(batches_of_turns(itertools.count(), turns)) == [[0, 1], [2]]


def test_several_batches_are_split_as_one_is():
    batches = [{"image": np.arange(8) + 10 * index} for index in range(3)]
    together = np.asarray(parallel.split_several(batches)["image"])
    assert together.shape == (jax.local_device_count(), 3, 8 // jax.local_device_count())
    for index, batch in enumerate(batches):
        np.testing.assert_array_equal(together[:, index], parallel.split(batch)["image"])


def run(folder, **overrides):
    source = ToySource(num_train_images=180)  # eleven steps in an epoch
    overrides |= {"total_epochs": 2, "use_hybrid_training": True, "hybrid_config.p": 0.8}
    model = ToyModel(dropout_rate=0.1)
    train(toy_config(**overrides), model=model, source=source, folder=folder)
    return read_metrics(folder / "metrics.jsonl")


def test_a_run_in_larger_turns_has_the_same_metrics(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "three").mkdir()
    one_by_one = run(tmp_path / "one")
    together = run(tmp_path / "three", steps_per_loop=3)
    assert len(together) == len(one_by_one) == 24
    for expected, found in zip(one_by_one, together, strict=True):
        assert found.keys() == expected.keys()
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("turn", [1, 2, 5])
def test_a_run_in_larger_turns_goes_on_and_ends_the_same(tmp_path, turn, monkeypatch):
    (tmp_path / "uninterrupted").mkdir()
    (tmp_path / "stopped").mkdir()
    uninterrupted = run(tmp_path / "uninterrupted", steps_per_loop=3)
    signals = {turn: signal.SIGTERM}
    monkeypatch.setattr(StopRequest, "signal_at", lambda self, now: signals.pop(now, None))
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", steps_per_loop=3)
    assert run(tmp_path / "stopped", steps_per_loop=3) == uninterrupted


def test_saves_come_after_the_turn_that_holds_their_step(tmp_path):
    run(tmp_path, steps_per_loop=3, save_ckpt_every_n_steps=4, keep_latest_checkpoints=100)
    saved = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert {11, 22} <= set(saved)
    assert all(any(step <= s < step + 3 for s in saved) for step in (4, 8, 12, 16, 20))


def test_processes_that_agreed_to_stop_do_so_after_a_rollback_too(monkeypatch):
    monkeypatch.setattr(parallel, "has_several_processes", lambda: True)
    monkeypatch.setattr(parallel, "stop_is_agreed", lambda turn: turn == 3)
    stop = StopRequest()
    assert [stop.after_turn() for _ in range(5)] == [None, None, *[signal.SIGTERM] * 3]
