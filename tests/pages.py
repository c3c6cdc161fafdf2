"""Parses the documentation: code blocks, inline code and commands."""

import re
import shlex

from config import base
from tests.test_quickstart import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "RESULTS.md",
    ROOT / "benchmark" / "RESULTS.md",
    ROOT / "recipe" / "cluster" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
# First words of documented commands.
PROGRAMS = (
    "bash",
    "gnp",
    "kubectl",
    "pip",
    "python",
    "sbatch",
    "source",
    "sphinx-build",
    "tensorboard",
    ".venv/bin/ruff",
)

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.DOTALL | re.M)


def blocks(page, language):
    """Returns the code blocks of a language, without the indentation of lists."""
    return [
        re.sub(rf"^{indent}", "", block, flags=re.M)
        for indent, found, block in _BLOCK.findall(page.read_text())
        if found == language
    ]


def quoted(page):
    """Returns the inline code of the text, with line breaks replaced by spaces."""
    text = _BLOCK.sub("", page.read_text())
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def commands(page):
    """Yields the commands of a page: their environment variables and their words.

    These are the lines of bash blocks, and inline code that starts with a known program.
    """
    text = "".join(blocks(page, "bash")).replace("\\\n", " ")
    for line in text.splitlines():
        yield from _split(line)
    for span in quoted(page):
        if any(words[:1] and words[0] in PROGRAMS for _, words in _split(span)):
            yield from (command for command in _split(span) if command[1][1:])


def _split(line):
    """Yields the commands of a line, which may be joined by `&&` or inside a loop."""
    without_comment = re.sub(r"(^|\s)#.*", "", line)
    for part in re.split(r"[;&]+", without_comment):
        try:
            words = shlex.split(part.removeprefix(" do "))
        except ValueError:  # a quotation mark outside of shell code
            continue
        number = next((n for n, w in enumerate(words) if not re.match(r"[A-Z_]+=", w)), len(words))
        if words[number:] and words[0] not in ("for", "do", "done", "wait"):
            yield [word.partition("=")[0] for word in words[:number]], words[number:]


def check_field(field):
    """Fails if config/base.py has no such field."""
    value = base.get_config()
    for name in field.split("."):
        if hasattr(value, "keys") and not len(value):
            return  # a block that accepts any field
        assert name in value, field
        value = value[name]
