"""Models that no device holds are refused before anything is allocated."""

import pytest

from gnp.errors import UserError
from gnp.main import diagnose
from gnp.main.config import load_config
from gnp.main.main import run
from gnp.main.start.device_memory import check_fits
from gnp.model.size import ModelSize

WIDE = load_config("config/digits.py", ["model.model_params.width=100000"])
SENTENCE = r"^Model WideResNet_10_1 has 7\.\de\+14 parameters of 4 bytes, but a device has \d+ GB"


def test_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=SENTENCE):
        run(WIDE, tmp_path)
    assert not list(tmp_path.rglob("metrics.jsonl"))


def test_looking_into_it_is_refused():
    with pytest.raises(UserError, match=SENTENCE):
        diagnose.untrained(WIDE, on_train=False)


def test_what_a_device_holds_is_not():
    check_fits("Net", ModelSize(parameters=1000, multiply_adds=1, layers=1))
