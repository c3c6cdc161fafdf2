"""Commands, flags and files named in the documentation exist and are valid."""

import importlib
import inspect
import re

import pytest
from absl import flags
from absl.testing import flagsaver

from gnp.errors import UserError
from gnp.main import app, cli, config
from gnp.main.fields.effects import check_effects
from gnp.training.settings.run import read_settings
from tests.pages import NAMES, PAGES, PROGRAMS, check_field, commands, quoted
from tests.test_quickstart import ROOT

every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


@every_page
def test_commands_are_valid(page):
    for variables, words in commands(page):
        check(variables, [word for word in words if "…" not in word])


def check(variables, words):
    """Fails if a command is invalid."""
    program, *arguments = words
    assert program in PROGRAMS, words
    if program in ("bash", "sbatch"):
        check_script(variables, [word for word in arguments if not word.startswith("--array")])
    elif words[:2] == ["python", "-m"]:
        check_module(*arguments[1:])
    elif program == "gnp" and arguments not in (["--help"], ["--version"]):
        module, _ = cli.COMMANDS[arguments[0]]
        check_module(f"gnp.main.{module}", *arguments[1:])


def check_script(variables, arguments):
    if not arguments:  # without the name of a script
        return
    script, *arguments = arguments
    text = (ROOT / script).read_text() + (ROOT / "recipe" / "common.sh").read_text()
    for variable in variables:
        if variable.startswith(("CUDA_", "JAX_", "XLA_")):
            continue  # not defined by the scripts
        assert re.search(rf"\b{variable}\b", text), variable
    if script == "recipe/cluster/array.sh":  # runs another script with its arguments
        check_script(variables, arguments)
    elif script.startswith("recipe/"):
        positional = [word for word in arguments if not word.startswith("--")]
        named = [word for word in positional if word not in ("CONFIG", "RECIPE", "WEIGHTS")]
        announced = re.search(r"\(expected (\w+)\)", text)
        file = named[0] if named else announced[1] if announced else "base"
        check_module("gnp.main.main", f"--config=config/{file}.py", *arguments[len(positional) :])


def check_module(name, *arguments):
    if "--help" in arguments:
        arguments = []
    module = importlib.import_module(name)
    if name.startswith("benchmark."):
        module.parse_arguments(arguments)
        return
    # N and I stand for whole numbers.
    arguments = [re.sub(r"=[NI]$", "=1", argument) for argument in arguments]
    with flagsaver.flagsaver():
        app.define(module.define_flags)
        takes_arguments = bool(inspect.signature(module.main).parameters)
        flags.FLAGS.set_gnu_getopt(takes_arguments)
        rest = flags.FLAGS([name, *config.as_plain_flags(arguments)])
        assert takes_arguments or rest == [name]
        file, fields = flags.FLAGS.config, config.overrides()
    settings = config.load_config(file or "config/base.py", fields)
    if not settings.modules:  # whose names are not known here
        read_settings(settings, num_devices=1)
        assert check_effects(settings, config.default_config()) == []


@pytest.fixture(scope="module")
def known_flags():
    """Returns the names of the flags of all commands."""
    files = [*(ROOT / "gnp" / "main").rglob("*.py"), *(ROOT / "benchmark").glob("*.py")]
    files.append(ROOT / "tests/run_blocks.py")
    text = "".join(file.read_text() for file in files)
    return set(re.findall(r'(?:DEFINE_\w+\(\s*"|add_argument\(\s*"--)(\w+)"', text))


@every_page
def test_quoted_flags_exist(page, known_flags):
    for span in quoted(page):
        for word in span.split() if span.startswith("--") else []:
            flag = word.partition("=")[0].removeprefix("--")
            if flag.startswith("config.") and flag != "config.FIELD":
                check_field(flag.removeprefix("config."))
            elif flag not in ("config.FIELD", "all") and not flag.startswith("xla_"):
                assert flag in known_flags, word


@every_page
def test_quoted_files_exist(page):
    for span in quoted(page):
        for script in re.findall(r"(?<![\w/.-])[\w-]+\.sh\b", span):
            assert (ROOT / "recipe" / script).is_file(), span
        folders = "benchmark|config|docs|examples|gnp|recipe|tests"
        for file in re.findall(rf"(?<![\w/.-])(?:{folders})/[\w/.-]+\.(?:py|sh|md|yaml)\b", span):
            assert (ROOT / file).is_file(), span


@every_page
def test_quoted_modules_exist(page):
    for span in quoted(page):
        for module in re.findall(r"\b(?:gnp\.main|benchmark)(?:\.[a-z]\w+)+", span):
            assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), span


@pytest.mark.parametrize(
    "line",
    [
        "python -m gnp.main.evaluate --run=R --atack_radius=1",
        "python -m gnp.main.evaluate --run=R --chekpoint=best",
        "python -m gnp.main.report --run=runs --output=comparison",
        "python -m gnp.main.sharpness --run=R --r=far",
        "python -m gnp.main.main --config=config/digits.py --config.total_epoks=2",
        "python -m gnp.main.main --config=config/digits.py --config.lr_schedule_type=cosin",
        "python -m benchmark.step --modles=ViT_TI16",
        "python -m benchmark.end_to_end --contenders=optax",
        "bash recipe/quikstart.sh",
        "bash recipe/wideresnet-cifar.sh --config.dtype=bfloat16",
        "bash recipe/seed-sweep.sh digit",
        "SEED=1 bash recipe/wideresnet-cifar.sh",
        "for i in 0 1; do CUDA_VISIBLE_DEVICES=$i TSK=$i bash recipe/reproduce.sh & done; wait",
        "gnp evalute --run=R",
        "pip install . && sphynx-build docs docs/_build",
    ],
)
def test_a_misspelt_command_is_detected(tmp_path, line):
    for text in (f"```bash\n{line}\n```\n", f"Say `{line}` then.\n"):
        page = tmp_path / "page.md"
        page.write_text(text)
        with pytest.raises((AssertionError, OSError, KeyError, flags.Error, UserError, SystemExit)):
            test_commands_are_valid(page)
