"""The house is in order: short files, things where one looks for them, plain words."""

import pathlib
import re

import pytest

from tests.pages import PAGES

ROOT = pathlib.Path(__file__).parents[1]
LONGEST_FILE = 300  # lines

# What a reader looks for, where it is, and by which name.
PLACES = {
    "where a step is skipped": ("gnp/training/nonfinite.py", "def skip_step"),
    "where the label smoothing is": ("gnp/training/loss.py", "def smooth_labels"),
    "where a run resumes": ("gnp/training/checkpoints/manager.py", "def restore_latest"),
    "where the perturbation is computed": ("gnp/regularization/ascent.py", "def _along_gradient"),
}

# Words of an earlier text that the field does not use.
WORDS = r"\b(goes on|going on|left out|leaves? out|mends?|mended|learns? by heart|for want of)\b"
TEXTS = [*(ROOT / "gnp").rglob("*.py"), *(ROOT / "config").rglob("*.py"), *PAGES]


def names(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


@pytest.mark.parametrize("question", PLACES)
def test_a_reader_finds(question):
    path, name = PLACES[question]
    assert name in (ROOT / path).read_text()
    assert path.removeprefix("gnp/") in (ROOT / "CONTRIBUTING.md").read_text()


def test_no_file_is_long():
    lengths = {path: path.read_text().count("\n") for path in (ROOT / "gnp").rglob("*.py")}
    too_long = {path.name: length for path, length in lengths.items() if length > LONGEST_FILE}
    assert not too_long


@pytest.mark.parametrize("path", TEXTS, ids=names(TEXTS))
def test_words_are_those_of_the_field(path):
    assert not re.search(WORDS, path.read_text(), re.IGNORECASE)
