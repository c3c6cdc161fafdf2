"""Every recipe: what it asks for is a config that trains, and in its smoke form it does train."""

import json
import pathlib
import sys

import pytest

from gnp.diagnostics.reproduction import NUM_SEEDS, PUBLISHED
from gnp.main import config
from gnp.main.build import build_model
from gnp.main.check import check_config
from gnp.main.reproduction import read_errors
from gnp.training.run_folder import config_json
from tests.test_quickstart import ROOT, call

RECIPES = sorted(path.stem for path in (ROOT / "recipe").glob("*.sh"))
# Those that are not recipes of their own, and what others need beside the environment.
OTHER_SCRIPTS = ("common", "quickstart")
ARGUMENTS = {"seed-sweep": ["digits"]}
RUNNABLE = [name for name in RECIPES if name not in OTHER_SCRIPTS]

# Takes the place of Python: notes its arguments, and pretends that a run has ended.
RECORDER = """#!{python}
import json, sys
with open({record!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
print("Run: somewhere")
"""


@pytest.fixture
def calls_of(tmp_path):
    """A function that runs a recipe without training and returns what it would have called."""

    def calls(name, **environment):
        record, recorder = tmp_path / "calls", tmp_path / "python"
        record.write_text("")
        recorder.write_text(RECORDER.format(python=sys.executable, record=str(record)))
        recorder.chmod(0o755)
        environment |= {"GNP_PYTHON": str(recorder), "WORKING_DIR": str(tmp_path / "runs")}
        result = call(f"recipe/{name}.sh", *ARGUMENTS.get(name, []), folder=tmp_path, **environment)
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in record.read_text().splitlines()], result.stderr

    return calls


def _trainings(calls):
    """The resolved configs of all trainings among the calls."""
    for arguments in calls:
        if "gnp.main.main" not in arguments:
            continue
        plain = config.as_plain_flags(arguments[arguments.index("gnp.main.main") + 1 :])
        file = next(flag for flag in plain if flag.startswith("--config="))
        fields = [flag for flag in plain if flag.startswith("--config_field=")]
        yield config.load_config(
            file.removeprefix("--config="),
            [field.removeprefix("--config_field=") for field in fields],
        )


@pytest.mark.parametrize("smoke", ["", "1"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_a_recipe_asks_for_what_can_be_trained(calls_of, name, smoke):
    calls, said = calls_of(name, SMOKE=smoke, SEEDS="3")
    trainings = list(_trainings(calls))
    assert trainings
    assert ("A smoke test of" in said) == bool(smoke)
    for settings in trainings:
        check_config(settings, num_devices=1)
        build_model(settings)
        assert (settings.seeds, settings.init_seeds) == (3, 3)
        assert not smoke or settings.dataset.num_train_images == 8
    assert any("gnp.main.rep" in argument for argument in calls[-1])  # report or reproduction


def test_each_seed_is_trained_once(calls_of):
    calls, _ = calls_of("wideresnet-cifar", SEEDS="0 5")
    assert [settings.seeds for settings in _trainings(calls)] == [0, 5]


def test_a_task_of_an_array_trains_its_own_seed(calls_of):
    calls, _ = calls_of("wideresnet-cifar", SEEDS="0 5", SLURM_ARRAY_TASK_ID="1")
    assert [settings.seeds for settings in _trainings(calls)] == [5]


def test_a_seed_sweep_takes_up_a_zero_warmup(calls_of):
    calls, _ = calls_of("seed-sweep", SEEDS="1", ZERO_WARMUP="15")
    settings = list(_trainings(calls))
    assert [each.gnp.r for each in settings] == [0, 0.1, 0.1]
    assert [each.gr_warmup_strategy for each in settings] == ["none", "none", "zero"]
    assert settings[2].gnp.warmup_epochs == 15


def test_the_tasks_of_the_reproduction_share_all_cells(calls_of):
    def cells(**environment):
        calls, _ = calls_of("reproduce", **environment)
        return [
            (settings.model.model_name, settings.gnp.r, settings.gr_warmup_strategy, settings.seeds)
            for settings in _trainings(calls)
        ]

    shares = [cells(TASK=str(task), TASKS="2") for task in range(2)]
    assert len(shares[0]) + len(shares[1]) == 27
    assert sorted(shares[0] + shares[1]) == sorted(cells())


def test_all_that_the_reproduction_trains_counts_in_its_table(calls_of, tmp_path):
    calls, _ = calls_of("reproduce")
    for number, settings in enumerate(_trainings(calls)):
        run = tmp_path / f"done/{number}"
        run.mkdir(parents=True)
        (run / "config.json").write_text(config_json(settings))
        (run / "summary.json").write_text('{"final": {"eval/error_rate": 0.1}}')
    assert read_errors(tmp_path / "done") == dict.fromkeys(PUBLISHED, [10.0] * NUM_SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNNABLE)
def test_a_recipe_runs_in_its_smoke_form(tmp_path, name):
    result = call(
        f"recipe/{name}.sh",
        *ARGUMENTS.get(name, []),
        folder=tmp_path,
        SMOKE="1",
        WORKING_DIR="out",
        GNP_PYTHON=sys.executable,
        PYTHONPATH=str(ROOT),
        JAX_NUM_CPU_DEVICES="1",
    )
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.glob("out/**/summary.json"))
    assert list(pathlib.Path(tmp_path / "out").glob("re*/**/*.md"))
