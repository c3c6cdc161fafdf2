"""The command that prints the fields of a config."""

import re

import pytest
from absl import flags
from absl.testing import flagsaver

from config import base
from gnp.errors import UserError
from gnp.main import config
from gnp.main.fields.described import described_fields, nearest_fields
from gnp.main.show_config import lines, main
from gnp.runs.folder import flatten
from tests.test_quickstart import ROOT

FIELDS = described_fields((ROOT / "config" / "base.py").read_text())


def test_every_field_has_a_default_and_a_meaning():
    assert {field.name for field in FIELDS} >= flatten(base.get_config().to_dict()).keys()
    assert all(field.default and field.meaning for field in FIELDS)


def test_each_line_has_name_value_and_meaning():
    printed = lines(FIELDS, config.load_config("digits", ["gnp.r=0.2"]))
    by_name = {line.partition(" = ")[0]: line for line in printed}
    assert re.search(r"^gnp\.r = 0\.2 \(default 0\.0\) +radius of the ", by_name["gnp.r"])
    assert re.search(r"^base_lr = 0\.1 +peak learning rate$", by_name["base_lr"])
    assert "last_epoch = unset " in by_name["regularization.weight.l1.last_epoch"]
    assert len(printed) == len(FIELDS)


@pytest.fixture(autouse=True)
def _no_flags():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        config.define_flags()
        yield


def test_patterns_select_fields(capsys):
    main(["gnp.*", "LABEL_noise_s"])
    names = [line.partition(" = ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names[0] == "gnp.r"
    assert all(name.startswith("gnp.") for name in names[:-1])
    assert names[-1] == "dataset.label_noise_seed"


def test_an_unknown_pattern_is_one_sentence():
    with pytest.raises(UserError, match=r"^No field has 'batchsize' .*; nearest: batch_size\.$"):
        main(["gnp.*", "batchsize"])
    with pytest.raises(UserError, match="meaning; without a pattern, all are printed"):
        main(["xyzzy"])


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ("lr", "base_lr"),
        ("epochs", "total_epochs"),
        ("batch-size", "batch_size"),
        ("num_class", "dataset.num_classes"),
        ("alpha", "gnp.alpha"),
        ("model", "model.model_name"),
    ],
)
def test_the_nearest_field_is_the_one_that_is_meant(given, first):
    assert nearest_fields(given, FIELDS)[0] == first


def test_no_field_is_near_to_anything():
    assert nearest_fields("xyzzy", FIELDS) == []


def test_a_config_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config.load_config("digits") == config.load_config("config/digits.py")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.py").write_text("def get_config(): return {'seeds': 3}")
    assert config.load_config("mine").seeds == 3
    with pytest.raises(UserError, match=r"Unknown config 'digit'; known: digits, digits_noise, "):
        config.load_config("digit")


def test_without_the_configs_of_the_package_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "BASE", tmp_path / "base.py")
    with pytest.raises(UserError, match=r"base\.py, which holds all fields, is missing; install"):
        config.load_config("digits")
    with pytest.raises(UserError, match="There is no file"):
        config.all_fields()
