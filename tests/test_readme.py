"""What README.md says works."""

import pathlib
import re
import shlex

import pytest

from gnp.main.config import as_plain_flags, load_config

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_gradient_in_a_loop_of_ones_own_runs(capsys):
    (code,) = [block for block in blocks("python") if "value_and_grad" in block]
    names = {}
    exec(code, names)
    assert capsys.readouterr().out
    assert names["loss"] < 1e-3


def test_the_example_of_a_config_file_loads(tmp_path):
    (code,) = [block for block in blocks("python") if "get_config" in block]
    (tmp_path / "flowers.py").write_text(code)
    config = load_config(str(tmp_path / "flowers.py"))
    assert config.opt.opt_params.weight_decay == 0.05


def test_the_commands_name_files_and_fields_that_exist():
    lines = [line.partition("#")[0] for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        words = shlex.split(line)
        if words[0] == "bash":
            assert (ROOT / words[1]).is_file()
            continue
        assert words[:2] == ["python", "-m"]
        assert (ROOT / (words[2].replace(".", "/") + ".py")).is_file()
        flags = dict(word.split("=", 1) for word in as_plain_flags(words[3:]))
        overrides = [w.split("=", 1)[1] for w in as_plain_flags(words[3:]) if "config_field" in w]
        if "--config" in flags:
            load_config(flags["--config"], overrides)


@pytest.mark.parametrize(
    "field", sorted(set(re.findall(r"`((?:gnp|model|dataset)\.\w+)[`=]", TEXT)))
)
def test_the_fields_it_names_exist(field):
    config = load_config("config/digits.py")
    for name in field.split("."):
        config = config[name]


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (gnp[\w.]+)", TEXT))))
def test_the_commands_it_names_exist(module):
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file()


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT):
        assert (ROOT / target).exists(), target
