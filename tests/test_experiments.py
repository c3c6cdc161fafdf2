"""Each config file documents its command and its expected result."""

import ast
import re

import pytest

from tests.test_documented_commands import check
from tests.test_quickstart import ROOT

EXPERIMENTS = sorted(set(ROOT.glob("config/*.py")) - set(ROOT.glob("config/[b_]*.py")))


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_a_config_documents_its_command_and_result(file):
    note = ast.get_docstring(ast.parse(file.read_text()))
    (command,) = re.findall(r"^    (python .+)$", note.replace("\\\n", ""), re.M)
    words = command.partition("#")[0].split()
    check([], words)
    assert f"--config=config/{file.name}" in words
    for entry in ("Hardware", "Time", "Test error", "Source"):
        (text,) = re.findall(rf"^{entry}: (.+)$", note, re.M)
        has_figure = re.search(r"\d", text)
        assert entry not in ("Time", "Test error") or has_figure or "not measured yet" in text
    # Published figures cite a paper or a repository, ours a page of the project.
    if re.search(r"^Test error:.*\d %", note, re.M):
        assert re.search(r"^Source:.*(arXiv|github\.com|RESULTS\.md)", note, re.M)
