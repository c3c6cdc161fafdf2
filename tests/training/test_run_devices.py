"""A run keeps its perturbation groups on whatever number of devices it resumes."""

import json
import logging

import jax
import pytest

from gnp.errors import UserError
from gnp.training.perturbation_groups import PerturbationGroups
from gnp.training.run_devices import DEVICES_FILE, fields_to_choose, with_groups_of_run
from gnp.training.settings.run import read_settings
from tests.training.toy import toy_config

BATCH = 16
GROUP_SIZE = "gnp.perturbation_batch"


def groups_on(devices, folder, monkeypatch, *, with_checkpoint=True, **fields):
    """The groups of penalized steps of a run that starts, or resumes, on some devices."""
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    config = toy_config(batch_size=BATCH, **fields)
    settings = read_settings(config, num_devices=devices)
    if with_checkpoint:
        (folder / "checkpoints" / "4" / "state").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints" / "4" / "_CHECKPOINT_METADATA").touch()
    return with_groups_of_run(settings, config, folder).penalized_groups


def start_on(devices, folder, monkeypatch, **fields):
    return groups_on(devices, folder, monkeypatch, with_checkpoint=False, **fields)


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (1, 2, PerturbationGroups(1, 2)),
        (1, 4, PerturbationGroups(1, 4)),
        (2, 1, PerturbationGroups(2, 1)),
        (4, 2, PerturbationGroups(2, 1)),
        (2, 2, PerturbationGroups(1, 1)),
    ],
)
def test_a_run_resumes_with_its_groups(tmp_path, monkeypatch, caplog, first, then, kept):
    assert start_on(first, tmp_path, monkeypatch) == PerturbationGroups(1, 1)
    assert groups_on(then, tmp_path, monkeypatch) == kept
    assert kept.size(BATCH, then) == BATCH // first
    said = f"The run began with {first} devices and resumes with {then}"
    assert (said in caplog.text) == (first != then)


def test_a_run_that_never_saved_takes_the_devices_there_are(tmp_path, monkeypatch, caplog):
    start_on(1, tmp_path, monkeypatch)
    assert start_on(4, tmp_path, monkeypatch) == PerturbationGroups(1, 1)
    assert not caplog.records
    assert json.loads((tmp_path / DEVICES_FILE).read_text()) == {
        "num_devices": 4,
        "perturbation_batch": 4,
    }


def test_groups_that_the_devices_cannot_form_are_refused(tmp_path, monkeypatch):
    start_on(4, tmp_path, monkeypatch)
    fields = {"gradient_accumulation_steps": 1}
    (tmp_path / DEVICES_FILE).write_text('{"num_devices": 3, "perturbation_batch": 3}')
    with pytest.raises(UserError, match=r"began with 3 devices .* so 3 images .* the 4 devices"):
        groups_on(4, tmp_path, monkeypatch, **fields)


@pytest.mark.parametrize(
    ("here", "m", "chosen"),
    [
        (4, 4, (GROUP_SIZE,)),  # 3 images fit neither into nor around the 4 of a device
        (4, None, ()),
        (16, 4, (GROUP_SIZE,)),
        (1, 4, (GROUP_SIZE,)),
    ],
)
def test_other_groups_may_be_chosen_where_those_of_the_run_cannot_be_formed(
    tmp_path, monkeypatch, caplog, here, m, chosen
):
    (tmp_path / DEVICES_FILE).write_text('{"num_devices": 3, "perturbation_batch": 3}')
    monkeypatch.setattr(jax, "device_count", lambda: here)
    config = toy_config(batch_size=BATCH, **{GROUP_SIZE: m})
    assert fields_to_choose(config, tmp_path) == chosen
    if m:
        assert groups_on(here, tmp_path, monkeypatch, **{GROUP_SIZE: m}).size(BATCH, here) == m
        assert "had 3 images and have 4" in caplog.text


def test_no_others_may_be_chosen_where_they_can_or_nothing_is_trained(tmp_path, monkeypatch):
    config = toy_config(batch_size=BATCH, **{GROUP_SIZE: 4})
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert fields_to_choose(config, tmp_path) == ()
    (tmp_path / DEVICES_FILE).write_text('{"num_devices": 4, "perturbation_batch": 2}')
    assert fields_to_choose(config, tmp_path) == ()
    (tmp_path / DEVICES_FILE).write_text('{"num_devices": 3, "perturbation_batch": 3}')
    (tmp_path / "summary.json").touch()
    assert fields_to_choose(config, tmp_path) == ()
    assert groups_on(4, tmp_path, monkeypatch) == PerturbationGroups(1, 1)


@pytest.mark.parametrize(
    "fields", [{"gnp.perturbation_batch": 4}, {"gnp.sync_perturbations": True}], ids=str
)
def test_what_the_config_says_stays(tmp_path, monkeypatch, fields):
    start_on(1, tmp_path, monkeypatch, **fields)
    alone = groups_on(2, tmp_path / "other", monkeypatch, **fields)
    assert groups_on(2, tmp_path, monkeypatch, **fields) == alone


def test_the_norm_of_the_parameter_gradient_has_groups_too(tmp_path, monkeypatch):
    fields = {"gnp.r": 0.0, "regularization.parameter_gradient.strength": 0.1}
    start_on(1, tmp_path, monkeypatch, **fields)
    assert groups_on(2, tmp_path, monkeypatch, **fields) == PerturbationGroups(1, 2)


def test_a_run_of_an_older_version_takes_the_devices_there_are(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="gnp")
    assert groups_on(2, tmp_path, monkeypatch) == PerturbationGroups(1, 1)
    assert "does not say on how many devices it began" in caplog.text
    assert groups_on(1, tmp_path, monkeypatch) == PerturbationGroups(2, 1)


@pytest.mark.parametrize("content", ["{", "[]", '{"devices": 2}', '{"num_devices": "2"}', "{}"])
def test_a_damaged_record_is_named(tmp_path, monkeypatch, content):
    (tmp_path / DEVICES_FILE).write_text(content)
    with pytest.raises(UserError, match=rf"{DEVICES_FILE} is damaged"):
        groups_on(2, tmp_path, monkeypatch)


def test_a_record_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / DEVICES_FILE).mkdir()
    start_on(2, tmp_path, monkeypatch)
    assert f"{DEVICES_FILE} cannot be written" in caplog.text
    with pytest.raises(UserError, match=DEVICES_FILE):
        groups_on(2, tmp_path, monkeypatch)
