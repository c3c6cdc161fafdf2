"""Checkpoints: whole or not at all, damage found, other models refused."""

import json
import math
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from gnp.errors import UserError
from gnp.training import parallel
from gnp.training.checkpoints.checkpoint_files import (
    DamagedError,
    best_step,
    read_evaluation,
    read_position,
)
from gnp.training.checkpoints.checkpoint_state import restore as restore_checkpoint
from gnp.training.checkpoints.manager import Checkpoints
from gnp.training.checkpoints.saved_variables import read_variables
from gnp.training.position import Position
from gnp.training.state import TrainState, fingerprint
from tests.training.full_disk import files_of_at_most

METRIC = "eval/error_rate"


def state_of(step, shape=(16, 16), name="kernel"):
    return parallel.replicate(
        TrainState(
            step=jnp.int32(step),
            params={"layer": {name: jax.random.normal(jax.random.PRNGKey(step), shape)}},
            batch_stats={},
            opt_state=(jnp.ones(3) * step,),
            key=jax.random.PRNGKey(0),
            skipped=jnp.int32(0),
        )
    )


def save(folder, *steps):
    with Checkpoints(folder) as checkpoints:
        for step in steps:
            checkpoints.save(state_of(step), Position(step=step))


def restore(folder, like=None):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore_latest(like or state_of(0))


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def assert_equal(state, expected):
    jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_nothing_saved_is_none(folder):
    assert restore(folder) is None


def test_newest_comes_back_to_the_bit_and_where_it_belongs(folder):
    save(folder, 1, 2)
    state, position = restore(folder)
    assert position == Position(step=2)
    assert_equal(state, state_of(2))
    assert state.params["layer"]["kernel"].sharding == state_of(0).step.sharding


def test_latest_are_kept(folder):
    save(folder, 1, 2, 3, 4)
    assert steps_in(folder) == [3, 4]


def test_best_are_kept_beside_the_latest(folder):
    errors = {1: 0.5, 2: 0.1, 3: 0.3, 4: 0.4, 5: 0.6}
    with Checkpoints(folder, keep_latest=1, keep_best=1) as checkpoints:
        for step, error in errors.items():
            metrics = {"eval/error_rate": error}
            checkpoints.save(state_of(step), Position(step=step), metrics)
    assert steps_in(folder) == [2, 5]


def test_an_evaluation_that_comes_later_is_added(folder):
    with Checkpoints(folder, keep_latest=1, keep_best=1) as checkpoints:
        checkpoints.save(state_of(1), Position(step=1))
        checkpoints.save(state_of(1), Position(step=1), {"eval/error_rate": 0.1})
        checkpoints.save(state_of(1), Position(step=1))  # which takes nothing away
        checkpoints.save(state_of(2), Position(step=2), {"eval/error_rate": 0.2})
        checkpoints.wait()
    assert best_step(folder, METRIC) == 1
    state, position = restore_checkpoint(folder / "1", state_of(0))
    assert position == Position(step=1)
    assert_equal(state, state_of(1))
    assert steps_in(folder) == [1, 2]


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param((0.5, 0.1, 0.1, 0.1), id="equal"),
        pytest.param((math.nan, 0.3, math.nan, 0.4), id="not finite"),
    ],
)
def test_the_first_of_the_best_is_kept_and_never_one_that_is_not_finite(folder, errors):
    with Checkpoints(folder, keep_latest=1, keep_best=1) as checkpoints:
        for step, error in enumerate(errors, start=1):
            metrics = {"eval/error_rate": error}
            checkpoints.save(state_of(step), Position(step=step), metrics)
        checkpoints.wait()
        assert best_step(folder, METRIC) == 2
    assert steps_in(folder) == [2, 4]


def test_those_within_an_epoch_make_room_for_later_ones(folder):
    """They have no evaluation to be the best by."""
    with Checkpoints(folder, keep_latest=2, keep_best=1) as checkpoints:
        for step in range(1, 7):
            checkpoints.save(state_of(step), Position(step=step))
    assert steps_in(folder) == [5, 6]


def damage_numbers(folder, step, damage):
    """Damages all files that arrays may lie in; some of them are not read again."""
    for path in (folder / str(step)).rglob("d/*"):
        damage(path)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, pathlib.Path.unlink])
def test_damaged_checkpoint_is_set_aside_for_the_one_before(folder, caplog, damage):
    save(folder, 1, 2)
    damage_numbers(folder, 2, damage)
    state, position = restore(folder)
    assert position.step == 1
    assert_equal(state, state_of(1))
    assert "Checkpoint 2 is damaged and set aside" in caplog.text
    assert (folder.parent / "damaged" / "2").is_dir()
    save(folder, 2)  # the run comes to that step again
    assert restore(folder)[1].step == 2
    damage_numbers(folder, 2, damage)
    assert restore(folder)[1].step == 1
    assert (folder.parent / "damaged" / "2_2").is_dir()


@pytest.mark.parametrize(
    "removed", ["state", "position", "metrics", "_CHECKPOINT_METADATA", "commit_success.txt", "*"]
)
def test_an_old_one_that_is_half_deleted_is_in_nobodys_way(folder, removed):
    """As a run that is killed while it makes room leaves it."""
    with Checkpoints(folder, keep_latest=2, keep_best=1) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state_of(step), Position(step=step), {"eval/error_rate": 0.5})
    for path in (folder / "1").glob(removed):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with Checkpoints(folder, keep_latest=2, keep_best=1) as checkpoints:
        state, position = checkpoints.restore_latest(state_of(0))
        assert position.step == 2
        checkpoints.save(state, position._replace(step=3), {"eval/error_rate": 0.1})
        checkpoints.wait()
        assert best_step(folder, METRIC) == 3
    assert_equal(read_variables(folder / "3"), state_of(2).variables)


def test_all_damaged_is_an_error_at_every_start_until_they_are_moved_away(folder):
    save(folder, 1)
    damage_numbers(folder, 1, truncate)
    for _ in range(3):
        with pytest.raises(UserError, match=r"All checkpoints of .* are damaged.*retrain=True"):
            restore(folder)
    (folder.parent / "summary.json").touch()
    with pytest.raises(UserError, match=r"are damaged.* from the first step again, set --config\."):
        restore(folder)
    (folder.parent / "summary.json").unlink()
    (folder.parent / "damaged").rename(folder.parent / "moved")
    assert restore(folder) is None


def test_a_finished_run_without_its_checkpoints_is_no_new_start(folder):
    (folder.parent / "summary.json").write_text("{}")
    with pytest.raises(UserError, match=r"is finished, but .* holds no checkpoint.*retrain=True"):
        restore(folder)


def flip_every(file, stride=7):
    """Contents that differ from the file's in one bit, some for each place."""
    content = file.read_bytes()
    for place in range(0, len(content), stride):
        for bit in (0, 3, 6):
            yield content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.mark.parametrize("item", ["position/metadata", "metrics/metrics"])
def test_no_bit_of_the_json_can_change(folder, item):
    with Checkpoints(folder, keep_latest=9, keep_best=1) as checkpoints:
        for step in (1, 12):
            position = Position(step, step, step, 0.25, skipped_steps=(3,), seconds=1.5)
            checkpoints.save(state_of(step), position, {METRIC: 0.25, "eval/loss": math.nan})
    file = folder / "12" / item
    read = read_position if item == "position/metadata" else read_evaluation
    before = file.read_bytes(), read(folder / "12")
    for content in flip_every(file):
        file.write_bytes(content)
        try:
            found = read(folder / "12")
        except DamagedError:
            continue
        # Such as the capital in 1e-05.
        assert repr(found) == repr(before[1]), content
    file.write_bytes(before[0].replace(b"12", b"13", 1))
    state, position = restore(folder)
    assert position.step == 1
    assert_equal(state, state_of(1))
    assert (folder.parent / "damaged" / "12").is_dir()


def test_no_bit_of_the_structure_can_change(folder, tmp_path):
    """A name that is another one is not taken for another model."""
    save(folder, 1, 2)
    shutil.move(folder, tmp_path / "whole")
    whole = (tmp_path / "whole" / "2" / "state" / "_METADATA").read_bytes()
    names = [place.start() for place in re.finditer(b"kernel", whole)]
    for place in [*names, *range(0, len(whole), 150)]:
        content = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        shutil.copytree(tmp_path / "whole", folder)
        (folder / "2" / "state" / "_METADATA").write_bytes(content)
        state, position = restore(folder)
        assert_equal(state, state_of(position.step))
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("old", "new"), [('"step": 12', '"step": 13'), ('"step"', '"rtep"'), ("0.25", '"0"')]
)
def test_an_early_position_must_make_sense(folder, old, new):
    """It has no fingerprint of its own."""
    save(folder, 1)
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state_of(12), Position(12, 12, 12, 0.25))
    make_early(folder / "12")
    assert restore(folder)[1] == Position(12, 12, 12, 0.25)
    file = folder / "12" / "position" / "metadata"
    file.write_text(file.read_text().replace(old, new))
    assert restore(folder)[1].step == 1


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("damage", [truncate, lambda path: path.write_text("{}}")])
def test_metrics_that_cannot_be_read_hold_up_no_run(folder, caplog, step, damage):
    """Orbax reads those of all checkpoints when it opens them."""
    with Checkpoints(folder, keep_latest=2, keep_best=1) as checkpoints:
        for number in (1, 2):
            checkpoints.save(state_of(number), Position(step=number), {METRIC: 0.5})
    damage(folder / str(step) / "metrics" / "metrics")
    with Checkpoints(folder, keep_latest=2, keep_best=1) as checkpoints:
        assert checkpoints.restore_latest(state_of(0))[1].step == 3 - step
    assert f"Checkpoint {step} is damaged and set aside" in caplog.text
    assert [path.name for path in (folder.parent / "damaged").iterdir()] == [str(step)]


def make_early(checkpoint):
    """Removes what early versions did not write."""
    file = checkpoint / "position" / "metadata"
    position = json.loads(file.read_text())
    for newer in ("recorded_metrics", "recorded_timings", "file_fingerprint"):
        del position[newer]
    file.write_text(json.dumps(position))


def test_checkpoint_of_a_version_with_fewer_fields_is_restored(folder):
    """It holds no `ema`, and fields that are None stand in it."""
    state = state_of(7)
    fields = {name: value for name, value in vars(state).items() if name != "ema"}
    fields["reused"] = fields.pop("ascent_memory")
    with Checkpoints(folder) as checkpoints:
        position = {"step": 7, "evaluated_step": 0, "best_step": 0, "best_value": None}
        position["fingerprint"] = int(fingerprint(state))
        checkpoints._manager.save(
            7,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(fields), position=ocp.args.JsonSave(position)
            ),
        )
    restored, position = restore(folder)
    assert position.step == 7
    assert_equal(restored, state)
    assert_equal(read_variables(folder / "7"), state.variables)


def test_early_position_has_the_defaults_of_what_it_lacks(folder):
    save(folder, 3)
    make_early(folder / "3")
    path = folder / "3" / "position" / "metadata"
    position = json.loads(path.read_text())
    del position["left_out"], position["seconds"]
    path.write_text(json.dumps(position))
    assert restore(folder)[1] == Position(step=3)


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, pathlib.Path.unlink])
def test_damaged_variables_are_found_without_the_optimizer(folder, damage):
    save(folder, 1)
    assert_equal(read_variables(folder / "1"), state_of(1).variables)
    damage_numbers(folder, 1, damage)
    with pytest.raises(Exception, match=r".") as error:
        read_variables(folder / "1")
    assert not isinstance(error.value, UserError)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"shape": (16, 8)}, r"params/layer/kernel is \(16, 16\) there and \(16, 8\) here"),
        ({"name": "weight"}, r"params/layer/kernel is \(16, 16\) there and absent here"),
    ],
)
def test_other_model_is_refused_by_its_first_differing_parameter(folder, other, message):
    save(folder, 3)
    with pytest.raises(UserError, match=message):
        restore(folder, state_of(0, **other))
    assert steps_in(folder) == [3]


def test_checkpoint_that_cannot_be_written_is_a_warning(folder, caplog, monkeypatch):
    save(folder, 1)
    with Checkpoints(folder) as checkpoints:

        def disk_full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoints._manager, "save", disk_full)
        checkpoints.save(state_of(2), Position(step=2))
    assert "step 2 could not be written" in caplog.text
    assert restore(folder)[1].step == 1


def test_while_the_disk_is_full_each_save_is_a_warning_and_later_ones_succeed(folder, caplog):
    large = (256, 256)
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state_of(1, large), Position(step=1))
        checkpoints.wait()
        with files_of_at_most(2**16):
            for step in (2, 3):
                checkpoints.save(state_of(step, large), Position(step=step))
            checkpoints.wait()
        for step in (2, 3):
            assert f"The checkpoint of step {step} could not be written" in caplog.text
        assert checkpoints.steps() == [1]
        checkpoints.save(state_of(4, large), Position(step=4))
    assert caplog.text.count("could not be written") == 2
    assert sorted(path.name for path in folder.iterdir()) == ["1", "4"]
    assert_equal(restore(folder, state_of(0, large))[0], state_of(4, large))


def test_a_folder_that_cannot_be_opened_again_is_tried_at_each_save(folder, caplog, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state_of(1), Position(step=1))
        checkpoints.wait()
        with monkeypatch.context() as patch:
            patch.setattr(ocp.CheckpointManager, "save", fail)
            patch.setattr(ocp, "CheckpointManager", fail)
            for step in (2, 3):
                checkpoints.save(state_of(step), Position(step=step))
        assert caplog.text.count("could not be written (No space left on device)") == 2
        checkpoints.save(state_of(4), Position(step=4))
    assert steps_in(folder) == [1, 4]


def test_fingerprint_changes_with_any_bit():
    state = jax.device_get(state_of(1))
    before = int(fingerprint(state))
    kernel = state.params["layer"]["kernel"].copy()
    state.params["layer"]["kernel"] = kernel
    rng = np.random.default_rng(0)
    for bit in rng.integers(0, kernel.size * 32, 20):
        words = kernel.view(np.uint32).reshape(-1)
        words[bit // 32] ^= np.uint32(1 << (bit % 32))
        assert int(fingerprint(state)) != before
        words[bit // 32] ^= np.uint32(1 << (bit % 32))
    assert int(fingerprint(state)) == before
