"""log.txt of a run: whatever is said and whatever becomes of the file."""

import logging
import types

import pytest

from gnp.runs.log import run_log
from tests.training.full_disk import files_of_at_most

LOG = logging.getLogger("gnp.tests")


@pytest.fixture
def log(tmp_path):
    settings = types.SimpleNamespace(basic_logger_level="info", logger_sys_output=False)
    with run_log(tmp_path, settings):
        yield tmp_path / "log.txt"


def test_bytes_of_names_that_are_not_utf_8_are_written(log):
    LOG.info("the folder %s", "\udcff")
    assert r"the folder \udcff" in log.read_text()


def test_lines_that_a_full_disk_refuses_are_lost_with_one_warning(log, caplog):
    LOG.info("before")
    with files_of_at_most(log.stat().st_size):
        LOG.info("lost")
        LOG.info("lost too")
    LOG.info("after")
    text = log.read_text()
    assert "before" in text
    assert "after" in text
    assert "lost too" not in text
    assert caplog.text.count("log.txt lacks lines") == 1


def test_a_log_that_is_deleted_is_begun_again(log):
    LOG.info("before")
    log.unlink()
    LOG.info("after")
    assert "after" in log.read_text()
