"""metrics.jsonl and TensorBoard events: whole lines, all digits, cut at a resume."""

import contextlib
import json
import math
import re
import shutil

import numpy as np
import pytest

from gnp.errors import UserError
from gnp.runs.folder import METRICS_FILE, TIMINGS_FILE
from gnp.runs.json_lines import open_metrics, open_timings
from gnp.runs.metrics import read_metrics
from gnp.runs.tensorboard_writer import TensorBoardWriter
from gnp.runs.writers import Writers
from tests.training.full_disk import files_of_at_most


def open_writer(folder, first_step=0):
    return contextlib.closing(open_metrics(folder, first_step, first_step))


def test_floats_keep_every_digit(tmp_path):
    value = 0.1 + 0.2
    with open_writer(tmp_path) as writer:
        writer.write(1, {"train/loss": value, "train/r": np.float32(0.1)})
    assert read_metrics(tmp_path / METRICS_FILE) == [
        {"step": 1, "train/loss": value, "train/r": float(np.float32(0.1))}
    ]


def test_numbers_that_are_not_finite_stay_valid_json(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.write(1, {"a": math.nan, "b": math.inf, "c": -math.inf})

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    line = json.loads((tmp_path / METRICS_FILE).read_text(), parse_constant=refuse)
    assert line == {"step": 1, "a": "nan", "b": "inf", "c": "-inf"}
    (read,) = read_metrics(tmp_path / METRICS_FILE)
    assert math.isnan(read["a"])
    assert (read["b"], read["c"]) == (math.inf, -math.inf)


def test_a_line_is_on_disk_as_soon_as_it_is_written(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.write(1, {"a": 1.0})
        assert read_metrics(tmp_path / METRICS_FILE) == [{"step": 1, "a": 1.0}]


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path):
    with open_writer(tmp_path) as writer:
        for step in range(1, 8):
            writer.write(step, {"a": step / 3})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 8, "a": 2.6')
    with open_writer(tmp_path, first_step=5) as writer:
        writer.write(6, {"a": math.nan})
    lines = read_metrics(tmp_path / METRICS_FILE)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["a"] for line in lines[:5]] == [step / 3 for step in range(1, 6)]


def test_lines_that_a_full_disk_refuses_come_later_whole_and_in_order(tmp_path, caplog):
    path = tmp_path / METRICS_FILE
    with open_writer(tmp_path) as writer:
        writer.write(1, {"a": 1.0})
        with files_of_at_most(path.stat().st_size + 5):
            for step in (2, 3):
                writer.write(step, {"a": float(step)})
            assert [line["step"] for line in read_metrics(path)] == [1]
            assert [line["step"] for line in writer.lines()] == [1, 2, 3]
            assert not writer.sync()
        writer.write(4, {"a": 4.0})
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3, 4]
    assert path.read_text().count("\n") == 4
    assert caplog.text.count("cannot be written for now") == 1


def test_events_that_a_full_disk_refuses_end_with_a_warning(tmp_path, caplog):
    with contextlib.closing(TensorBoardWriter(tmp_path, first_step=0)) as writer:
        with files_of_at_most(10):
            for step in range(1, 3000):
                writer.write(step, {"a": 1.0, "b": 2.0})
        writer.write(3000, {"a": 1.0})
    assert caplog.text.count("No more TensorBoard events until the next start") == 1


def test_events_that_have_no_place_end_with_a_warning(tmp_path, caplog):
    (tmp_path / "tensorboard").touch()
    with contextlib.closing(TensorBoardWriter(tmp_path, first_step=0)) as writer:
        writer.write(1, {"a": 1.0})
    assert caplog.text.count("No more TensorBoard events until the next start") == 1


def test_a_run_from_the_start_starts_an_empty_file(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.write(0, {"a": 1.0})
    open_metrics(tmp_path, 0, 0).close()
    assert read_metrics(tmp_path / METRICS_FILE) == []


def test_a_line_cut_off_while_written_is_not_read(tmp_path):
    (tmp_path / METRICS_FILE).write_text('{"step": 1, "a": 1.0}\n{"step": 2, "a')
    assert read_metrics(tmp_path / METRICS_FILE) == [{"step": 1, "a": 1.0}]


def read_events(folder):
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.rglob("events.out.tfevents.*")):
        data = path.read_bytes()
        position = 0
        while position < len(data):
            length = int.from_bytes(data[position : position + 8], "little")
            yield Event.FromString(data[position + 12 : position + 12 + length])
            position += 12 + length + 4


def test_tensorboard_gets_the_same_numbers(tmp_path):
    with contextlib.closing(TensorBoardWriter(tmp_path, first_step=0)) as writer:
        writer.write(1, {"train/loss": 0.5, "train/r": 0.25})
        writer.write(2, {"train/loss": 0.375})
    found = [
        (event.step, value.tag, value.simple_value)
        for event in read_events(tmp_path)
        for value in event.summary.value
    ]
    assert found == [(1, "train/loss", 0.5), (1, "train/r", 0.25), (2, "train/loss", 0.375)]


def test_tensorboard_is_told_to_forget_the_steps_after_the_checkpoint(tmp_path):
    TensorBoardWriter(tmp_path, first_step=5).close()
    starts = [e.step for e in read_events(tmp_path) if e.session_log.status == e.session_log.START]
    assert starts == [6]


def test_timings_of_all_starts_are_kept_and_a_cut_line_is_not(tmp_path):
    path = tmp_path / TIMINGS_FILE
    for _ in range(2):
        with contextlib.closing(open_timings(tmp_path)) as writer:
            writer.write(7, {"time/first_step_seconds": 7})
        with path.open("a") as file:
            file.write('{"step": 8, "time')
    assert read_metrics(path) == 2 * [{"step": 7, "time/first_step_seconds": 7}]


def test_several_writers_get_the_same(tmp_path):
    with open_writer(tmp_path) as first, contextlib.closing(open_timings(tmp_path)) as second:
        Writers(first, second).write(1, {"a": 0.5})
    for name in (METRICS_FILE, TIMINGS_FILE):
        assert read_metrics(tmp_path / name) == [{"step": 1, "a": 0.5}]


def saved(folder, first_step=5):
    """A file of some steps, and what a checkpoint knows of it."""
    with open_writer(folder) as writer:
        for step in range(1, 8):
            if step == first_step + 1:
                recorded = writer.recorded
            writer.write(step, {"a": step / 3, "b": math.nan})
    return recorded


def test_what_a_checkpoint_knows_of_the_file_is_the_same_after_a_resume(tmp_path, caplog):
    recorded = saved(tmp_path)
    for _ in range(2):
        writer = open_metrics(tmp_path, 5, 5, recorded)
        assert writer.recorded == recorded
        writer.close()
    assert not caplog.records


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.write_text(""), "lacks 5 of the 5 lines"),
        (lambda path: path.unlink(), "lacks 5 of the 5 lines"),
        (lambda path: path.write_text(path.read_text().split("\n", 2)[2]), "lacks 2 of the 5"),
        (lambda path: path.write_text(path.read_text()[:80]), r"lacks \d of the 5 lines"),
        (lambda path: path.write_text(path.read_text().replace("0.6", "0.5")), "holds other lines"),
    ],
)
def test_lines_that_are_missing_or_changed_are_said(tmp_path, caplog, damage, sentence):
    recorded = saved(tmp_path)
    damage(tmp_path / METRICS_FILE)
    before = (tmp_path / METRICS_FILE).exists() and (tmp_path / METRICS_FILE).read_text()
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match=f"{sentence}.*the run is finished.*retrain=True"):
        open_metrics(tmp_path, 5, 5, recorded)
    assert before == ((tmp_path / METRICS_FILE).exists() and (tmp_path / METRICS_FILE).read_text())
    (tmp_path / "summary.json").unlink()
    open_metrics(tmp_path, 5, 5, recorded).close()
    assert re.search(sentence, caplog.text)


def test_a_start_without_a_checkpoint_says_that_it_replaces_lines(tmp_path, caplog):
    saved(tmp_path)
    open_metrics(tmp_path, 0, 0).close()
    assert "has no checkpoint, so the run starts from its first step, and the 7" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1, "time/steps": 3}',
        '{"step": 1, "time/steps": 0, "time/seconds": 1, "time/images_per_second": 1, '
        '"time/data_wait_share": 0, "time/step_ms_median": 1}',
    ],
)
def test_timings_that_cannot_be_summed_up_are_damaged(tmp_path, line):
    (tmp_path / TIMINGS_FILE).write_text(line + "\n")
    with pytest.raises(UserError, match=r"line of step 1 in .*timings\.jsonl is damaged"):
        open_timings(tmp_path)
    assert (tmp_path / TIMINGS_FILE).read_text() == line + "\n"


@pytest.mark.parametrize("delete", ["file", "folder"])
def test_a_file_that_is_deleted_is_put_back(tmp_path, delete, caplog):
    folder = tmp_path / "run"
    folder.mkdir()
    with open_writer(folder) as writer:
        writer.write(1, {"a": 1.0})
        shutil.rmtree(folder) if delete == "folder" else (folder / METRICS_FILE).unlink()
        writer.write(2, {"a": 2.0})
        assert writer.sync() == (delete == "file")
        assert [line["step"] for line in writer.lines()] == [1, 2]
        folder.mkdir(exist_ok=True)
        assert writer.sync()
        writer.write(3, {"a": 3.0})
    assert [line["step"] for line in read_metrics(folder / METRICS_FILE)] == [1, 2, 3]
    assert caplog.text.count("cannot be written for now") == (delete == "folder")
