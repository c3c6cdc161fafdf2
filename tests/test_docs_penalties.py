"""What docs/penalties.md says works."""

import pathlib
import re
import shlex

from gnp.main.check import check_config
from gnp.main.config import as_plain_flags, load_config

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "penalties.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_penalties_in_a_loop_of_ones_own_run(capsys):
    (code,) = blocks("python")
    exec(code, {})
    assert "nan" not in capsys.readouterr().out


def test_the_commands_ask_for_what_can_be_trained():
    trainings = 0
    for line in "".join(blocks("bash")).replace("\\\n", "").splitlines():
        words = shlex.split(line)
        assert (ROOT / (words[2].replace(".", "/") + ".py")).is_file()
        flags = as_plain_flags(words[3:])
        fields = [flag.split("=", 1)[1] for flag in flags if flag.startswith("--config_field=")]
        if fields:
            check_config(load_config("config/digits.py", fields), num_devices=1)
            trainings += 1
    assert trainings == 5


def test_links_and_anchors_lead_somewhere():
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-").replace(",", "") for heading in headings}
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT):
        assert target[1:] in anchors if target[0] == "#" else (ROOT / "docs" / target).exists()
