"""Which steps are fused into one program, and that nothing else changes."""

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
from gnp.training.step_schedule import StepBlock, batches_of_blocks, fuse_steps
from tests.training.interruptions import stop_after
from tests.training.toy import ToyModel, ToySource, train_toy

pytestmark = pytest.mark.usefixtures("_compile_fast")


def blocks_of(types, begin=0, first=None, **options):
    """Blocks of an epoch whose penalized steps are written as "p"."""
    penalized = [name == "p" for name in types]
    return fuse_steps(penalized, begin, begin if first is None else first, **options)


def test_whole_blocks_of_one_type_are_fused():
    blocks = blocks_of("ssss" + "sspp" + "pppp" + "pp", steps_per_loop=4)
    assert [(block.first, block.count) for block in blocks] == [
        *((0, 4), (4, 1), (5, 1), (6, 1), (7, 1), (8, 4)),
        *((12, 1), (13, 1)),
    ]
    assert [block.is_penalized for block in blocks] == [False] * 3 + [True] * 5


def test_a_skipped_step_is_a_block_of_its_own():
    blocks = blocks_of("ssssss", begin=60, steps_per_loop=3, skipped_steps=[62])
    assert blocks == [
        StepBlock(60, 1),
        StepBlock(61, 1, is_skipped=True),
        StepBlock(62, 1),
        StepBlock(63, 3),
    ]
    assert list(blocks[-1].steps) == [64, 65, 66]


@pytest.mark.parametrize(
    ("block", "steps", "has_one"),
    [
        (StepBlock(3, 1), 4, True),
        (StepBlock(4, 1), 4, False),
        (StepBlock(5, 3), 4, True),
        (StepBlock(4, 3), 4, False),
    ],
)
def test_a_block_knows_whether_it_has_a_multiple(block, steps, has_one):
    assert block.has_multiple_of(steps) == has_one


@given(
    types=st.lists(st.sampled_from("sp"), min_size=1, max_size=30),
    steps_per_loop=st.integers(1, 8),
    stopped_after=st.integers(0, 30),
    epoch=st.integers(0, 2),
)
def test_a_resumed_run_has_the_same_blocks(types, steps_per_loop, stopped_after, epoch):
    begin = epoch * len(types)
    blocks = blocks_of(types, begin, steps_per_loop=steps_per_loop)
    assert [step for block in blocks for step in block.steps] == list(
        range(begin + 1, begin + len(types) + 1)
    )
    left = blocks[stopped_after:]
    if left:
        assert blocks_of(types, begin, left[0].first, steps_per_loop=steps_per_loop) == left


def test_the_batches_of_blocks():
    blocks = [StepBlock(0, 2), StepBlock(2, 1)]
    assert list(batches_of_blocks(itertools.count(), blocks)) == [[0, 1], [2]]


def test_several_batches_are_split_as_one_is():
    batches = [{"image": np.arange(8) + 10 * index} for index in range(3)]
    together = np.asarray(parallel.split_several(batches)["image"])
    assert together.shape == (jax.local_device_count(), 3, 8 // jax.local_device_count())
    for index, batch in enumerate(batches):
        np.testing.assert_array_equal(together[:, index], parallel.split(batch)["image"])


def run(folder, **overrides):
    source = ToySource(num_train_images=180)  # eleven steps in an epoch
    overrides |= {"total_epochs": 2, "use_hybrid_training": True, "hybrid_config.p": 0.8}
    train_toy(folder, source, ToyModel(dropout_rate=0.1), **overrides)
    return read_metrics(folder / "metrics.jsonl")


def test_a_run_of_fused_steps_has_the_same_metrics(tmp_path):
    one_by_one = run(tmp_path / "one")
    together = run(tmp_path / "three", steps_per_loop=3)
    assert len(together) == len(one_by_one) == 24
    for expected, found in zip(one_by_one, together, strict=True):
        assert found.keys() == expected.keys()
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("block", [1, 2, 5])
def test_a_run_of_fused_steps_resumes_and_ends_the_same(tmp_path, block, monkeypatch):
    uninterrupted = run(tmp_path / "uninterrupted", steps_per_loop=3)
    stop_after(block, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", steps_per_loop=3)
    assert run(tmp_path / "stopped", steps_per_loop=3) == uninterrupted


def test_saves_come_after_the_block_that_holds_their_step(tmp_path):
    run(tmp_path, steps_per_loop=3, save_ckpt_every_n_steps=4, keep_latest_checkpoints=100)
    saved = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert {11, 22} <= set(saved)
    assert all(any(step <= s < step + 3 for s in saved) for step in (4, 8, 12, 16, 20))


def test_processes_that_agreed_to_stop_do_so_after_a_rollback_too(monkeypatch):
    monkeypatch.setattr(parallel, "has_several_processes", lambda: True)
    monkeypatch.setattr(parallel, "stop_is_agreed", lambda block: block == 3)
    stop = StopRequest()
    assert [stop.after_block() for _ in range(5)] == [None, None, *[signal.SIGTERM] * 3]
