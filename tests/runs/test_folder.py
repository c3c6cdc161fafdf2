"""The folder of a run: its config.json, and the refusal of another config."""

import json
import os

import pytest

from config import base, digits
from gnp.errors import CannotWriteError, UserError
from gnp.files import json_text, write_atomically
from gnp.runs.folder import claim_folder, missing_folders, removed_if_refused


def changed_config(**changes):
    config = digits.get_config()
    config.update_from_flattened_dict(changes)
    return config


def start_run(folder, config):
    claim_folder(folder, config)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("metrics.jsonl", os.mkdir, "is a folder, but a run keeps a file there"),
        ("summary.json", os.mkfifo, "is no plain file, but a run keeps a file there"),
        ("log.txt", lambda path: os.symlink("nosuch", path), "is a link to nothing, but a run"),
        ("checkpoints", lambda path: path.touch(), "is a file, but a run keeps a folder there"),
        ("tensorboard", lambda path: os.symlink("nosuch", path), "is a link to nothing, but a"),
    ],
)
def test_what_lies_where_something_else_belongs_is_named(tmp_path, name, make, sentence):
    make(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} {sentence}"):
        claim_folder(tmp_path, digits.get_config())
    claim_folder(tmp_path, changed_config(retrain=True), retrain=True)


def test_a_linked_folder_is_only_unlinked_by_retrain(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "4").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    claim_folder(tmp_path / "run", changed_config(retrain=True), retrain=True)
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert (tmp_path / "elsewhere" / "4").exists()


@pytest.mark.parametrize("left", ["summary.json", "damaged/4"])
def test_what_a_run_has_left_is_not_deleted_for_another_config(tmp_path, left):
    claim_folder(tmp_path, digits.get_config())
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).touch()
    with pytest.raises(UserError, match="holds a run with another config"):
        claim_folder(tmp_path, changed_config(label_smoothing=0.1))
    assert (tmp_path / left).exists()


@pytest.mark.parametrize("more", [(), ("skipped_images.json",)])
def test_what_is_refused_leaves_no_new_folder_but_with_what_was_found(tmp_path, more):
    path = tmp_path / "runs" / "run"
    made = missing_folders(path)
    path.mkdir(parents=True)
    for name in ("config.json", "log.txt", *more):
        (path / name).touch()
    with pytest.raises(UserError), removed_if_refused(missing_folders(path)):
        raise UserError("a folder that was there before stays")
    assert path.exists()
    with pytest.raises(UserError), removed_if_refused(made):
        raise UserError("bad data")
    assert (tmp_path / "runs").exists() == bool(more)
    assert tmp_path.exists()


def test_config_json_holds_every_field(tmp_path):
    config = digits.get_config()
    claim_folder(tmp_path / "run", config)
    written = json.loads((tmp_path / "run/config.json").read_text())
    assert written == json.loads(json.dumps(config.to_dict()))
    assert list(written) == sorted(written)


def test_the_same_config_opens_again(tmp_path):
    start_run(tmp_path, digits.get_config())
    claim_folder(tmp_path, digits.get_config())
    claim_folder(tmp_path, changed_config(**{"logging.basic_logger_level": "error"}))


def test_another_config_is_refused_with_the_difference(tmp_path):
    start_run(tmp_path, digits.get_config())
    other = changed_config(label_smoothing=0.1)
    other.opt.opt_params.momentum = 0.8
    with pytest.raises(UserError) as error:
        claim_folder(tmp_path, other)
    assert "label_smoothing: 0.0 -> 0.1; opt.opt_params.momentum: unset -> 0.8" in str(error.value)
    assert "--config.retrain=True" in str(error.value)
    assert json.loads((tmp_path / "config.json").read_text())["label_smoothing"] == 0.0


def test_a_start_that_never_came_to_a_step_does_not_hold_the_folder(tmp_path):
    claim_folder(tmp_path, changed_config(label_smoothing=0.1))
    (tmp_path / "metrics.jsonl").touch()
    (tmp_path / "checkpoints").mkdir()
    claim_folder(tmp_path, digits.get_config())
    assert json.loads((tmp_path / "config.json").read_text())["label_smoothing"] == 0.0


def test_checkpoints_hold_the_folder_too(tmp_path):
    claim_folder(tmp_path, digits.get_config())
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    with pytest.raises(UserError, match="holds a run with another config"):
        claim_folder(tmp_path, changed_config(label_smoothing=0.1))


def test_another_config_is_refused_where_none_is_kept(tmp_path):
    unkept = {"write_config_to_json": False}
    start_run(tmp_path, changed_config(**unkept))
    assert not (tmp_path / "config.json").exists()
    claim_folder(tmp_path, changed_config(**unkept))
    claim_folder(tmp_path, changed_config(**unkept, **{"logging.basic_logger_level": "error"}))
    for other in ({}, {**unkept, "label_smoothing": 0.1}):
        with pytest.raises(UserError, match=r"another config \(it was not kept there\)"):
            claim_folder(tmp_path, changed_config(**other))


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_field_that_may_be_set_later_is_no_other_config(tmp_path, is_kept):
    kept = {"write_config_to_json": is_kept}
    field = "gnp.perturbation_batch"
    start_run(tmp_path, changed_config(**kept))
    later = changed_config(**kept, **{field: 8})
    with pytest.raises(UserError, match="holds a run with another config"):
        claim_folder(tmp_path, later)
    claim_folder(tmp_path, later, may_be_set=(field,))
    claim_folder(tmp_path, later)
    with pytest.raises(UserError, match="holds a run with another config"):
        claim_folder(tmp_path, changed_config(**kept, **{field: 4}), may_be_set=(field,))


def test_a_run_without_a_config_resumes_with_a_warning(tmp_path, caplog):
    start_run(tmp_path, digits.get_config())
    (tmp_path / "config.json").unlink()
    claim_folder(tmp_path, digits.get_config())
    assert "has no config" in caplog.text


def test_a_hash_stands_for_the_config_though_fields_are_added(tmp_path):
    defaults = base.get_config()
    config = changed_config(write_config_to_json=False)
    claim_folder(tmp_path, config, defaults=defaults)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    for newer in (config, defaults):
        newer.unlock()
        newer.a_new_field = 3
    claim_folder(tmp_path, config, defaults=defaults)
    config.a_new_field = 4
    with pytest.raises(UserError, match="holds a run with another config"):
        claim_folder(tmp_path, config, defaults=defaults)


def test_what_another_config_left_before_its_first_step_is_deleted(tmp_path):
    claim_folder(tmp_path, changed_config(label_smoothing=0.1))
    (tmp_path / "skipped_images.json").write_text("{}")
    claim_folder(tmp_path, changed_config(label_smoothing=0.1))
    assert (tmp_path / "skipped_images.json").exists()
    claim_folder(tmp_path, digits.get_config())
    assert not (tmp_path / "skipped_images.json").exists()


@pytest.mark.parametrize("content", ['{"batch_size": ', "[1, 2]"])
def test_a_config_that_is_damaged_is_named(tmp_path, content):
    start_run(tmp_path, digits.get_config())
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged .*; fix or remove it"):
        claim_folder(tmp_path, digits.get_config())


def test_numbers_that_json_lacks_are_null():
    text = json_text({"a": [1.5, float("nan")], "b": {"c": float("inf")}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [1.5, None], "b": {"c": None}}


def test_processes_that_do_not_write_refuse_too_and_leave_no_trace(tmp_path):
    claim_folder(tmp_path / "new", digits.get_config(), is_writer=False)
    assert not (tmp_path / "new").exists()
    start_run(tmp_path, digits.get_config())
    with pytest.raises(UserError):
        claim_folder(tmp_path, changed_config(label_smoothing=0.1), is_writer=False)


def change_config_json(folder, change):
    old = json.loads((folder / "config.json").read_text())
    change(old)
    (folder / "config.json").write_text(json.dumps(old))


def test_fields_newer_than_the_run_have_their_defaults_and_are_listed_once(tmp_path, caplog):
    def forget(config):
        del config["label_smoothing"], config["gnp"]["r"], config["logging"]

    start_run(tmp_path, digits.get_config())
    change_config_json(tmp_path, forget)
    with pytest.raises(UserError, match=r"\(gnp.r: 0.0 -> 0.5\);"):
        claim_folder(tmp_path, changed_config(**{"gnp.r": 0.5}), defaults=base.get_config())
    assert not caplog.records
    claim_folder(tmp_path, digits.get_config(), defaults=base.get_config())
    (record,) = caplog.records
    assert "config.json is of an older version; the fields that it lacks" in record.getMessage()
    assert "gnp.r = 0.0, label_smoothing = 0.0, logging.basic_log" in record.getMessage()
    claim_folder(tmp_path, digits.get_config(), defaults=base.get_config())
    assert len(caplog.records) == 1


def test_a_field_that_there_is_no_more_is_refused_by_name(tmp_path):
    start_run(tmp_path, digits.get_config())
    change_config_json(tmp_path, lambda config: config["gnp"].update(radius=0.2))
    with pytest.raises(UserError, match=r"\(gnp.radius: 0.2 -> unset\); set another"):
        claim_folder(tmp_path, digits.get_config(), defaults=base.get_config())


def test_retrain_empties_the_folder(tmp_path):
    claim_folder(tmp_path / "run", digits.get_config())
    (tmp_path / "run/metrics.jsonl").write_text("{}\n")
    claim_folder(tmp_path / "run", changed_config(retrain=True, label_smoothing=0.1), retrain=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(CannotWriteError, match=r"file\.txt cannot be written \(disk full\)"):
        write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
