"""Every recipe requests a config that can be trained, and its smoke test trains."""

import ast
import collections
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import pytest

from gnp.main import config
from gnp.main.fields.effects import check_effects
from gnp.main.reproduction import read_errors
from gnp.main.start.build import build_model
from gnp.main.start.methods import fields_of
from gnp.main.sweep import combinations
from gnp.model.weights import variable_shapes
from gnp.report.reproduction import NUM_SEEDS, PUBLISHED
from gnp.runs.config_file import flatten, write_config
from gnp.runs.metrics import read_metrics
from gnp.training.settings.run import read_settings
from tests.test_quickstart import ROOT, call

RECIPES = sorted(path.stem for path in (ROOT / "recipe").glob("*.sh"))
# Scripts that are not recipes, and arguments that some recipes need.
OTHER_SCRIPTS = ("common", "quickstart")
ARGUMENTS = {
    "seed-sweep": ["digits"],
    "choose-radius": ["digits_noise"],
    "fine-tune": ["weights.npz", "--config.dataset.dataset_name=fake"],
}
SMALL = 3e6  # parameters of a model of a smoke test, at most
RUNNABLE = [name for name in RECIPES if name not in OTHER_SCRIPTS]

# Replaces Python: records its arguments and pretends that a run ended, or failed if $FAILING is one
# of them. Code passed by -c runs.
RECORDER = """#!{python}
import json, os, sys
if "-c" in sys.argv:
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
with open({record!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if os.environ.get("FAILING") in sys.argv:
    sys.exit(int(os.environ["EXIT_CODE"]))
print("Run: somewhere/r=0.1,seed=0")
"""


@pytest.fixture
def calls_of(tmp_path):
    """Returns a function that runs a recipe without training and returns its calls of Python."""

    def calls(name, *arguments, script=None, returncode=0, **environment):
        record, recorder = tmp_path / "calls", tmp_path / "python"
        record.write_text("")
        recorder.write_text(RECORDER.format(python=sys.executable, record=str(record)))
        recorder.chmod(0o755)
        environment |= {"GNP_PYTHON": str(recorder), "WORKING_DIR": str(tmp_path / "runs")}
        arguments = arguments or ARGUMENTS.get(name, [])
        script = script or f"recipe/{name}.sh"
        result = call(script, *arguments, folder=tmp_path, **environment)
        assert result.returncode == returncode, result.stderr
        return [json.loads(line) for line in record.read_text().splitlines()], result.stderr

    return calls


def _trainings(calls):
    """Yields the resolved configs of all trainings among the calls."""
    for arguments in calls:
        values = collections.defaultdict(list)
        for flag in config.as_plain_flags(arguments):
            if flag.startswith("--") and "=" in flag:
                name, _, value = flag[2:].partition("=")
                values[name].append(value)
        fields = values["config_field"]
        if "gnp.main.main" in arguments:
            yield config.load_config(*values["config"], fields)
        for variant in _variants(arguments, values):
            for seed in values["seeds"][0].split(","):
                changes = {**variant, "seeds": seed, "init_seeds": seed}
                changes = [f"{field}={value}" for field, value in changes.items()]
                yield config.load_config(*values["config"], [*fields, *changes])


def _variants(arguments, values):
    """The fields of the variants that a command trains."""
    if "gnp.main.sweep" in arguments:
        return [fields for _, fields in combinations(values["grid"], values["variant"])]
    if "gnp.main.compare" in arguments:
        settings = config.load_config(*values["config"], values["config_field"])
        return [fields_of(method, settings) for method in values["methods"][0].split(",")]
    return []


@pytest.mark.parametrize("smoke", ["", "1"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_a_recipe_requests_trainable_configs(calls_of, name, smoke):
    calls, said = calls_of(name, SMOKE=smoke, SEEDS="3")
    trainings = list(_trainings(calls))
    assert trainings
    assert ("A smoke test of" in said) == bool(smoke)
    for settings in trainings:
        read_settings(settings, num_devices=1)
        check_effects(settings, config.default_config())
        build_model(settings)
        assert (settings.seeds, settings.init_seeds) == (3, 3)
        assert not smoke or settings.dataset.num_train_images == 8
    assert not smoke or _num_parameters(settings) < SMALL
    ends = "gnp.main.sweep", "gnp.main.reproduction", "gnp.main.compare"
    assert set(ends) & set(calls[-1])


def _num_parameters(settings):
    size, channels = settings.dataset.image_size, settings.dataset.num_channels or 3
    shapes = variable_shapes(build_model(settings), (size, size, channels))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize("name", ["seed-sweep", "choose-radius", "label-noise"])
def test_the_smoke_test_of_any_config_has_a_small_model(calls_of, name):
    for smoke, is_small in (("", False), ("1", True)):
        calls, _ = calls_of(name, "cifar10_vit", SMOKE=smoke, SEEDS="0")
        settings = next(_trainings(calls))
        assert (_num_parameters(settings) < SMALL) == is_small


def test_a_smoke_test_makes_the_models_of_all_families_small():
    script = """
    source "$0/recipe/common.sh"
    for name in "$@"; do
        small_model digits --config.model.model_name=$name
        echo $name "${small[@]}"
    done
    """
    # In a process of its own: other tests register models here.
    ours = "from gnp.model import model_names; print(*model_names())"
    names = subprocess.check_output([sys.executable, "-c", ours], cwd=ROOT, text=True).split()
    printed = subprocess.run(
        ["/bin/bash", "-c", script, ROOT, *names],
        env=os.environ | {"SMOKE": "1", "GNP_PYTHON": "true"},  # the model's name is a flag
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    largest = {}
    for line in printed.splitlines():
        name, _, flags = line.partition(" ")
        assert flags, f"{name} has no small form"
        largest[flags] = name
    for flags, name in largest.items():
        fields = [flag.removeprefix("--config.") for flag in flags.split()]
        settings = config.load_config("digits", [f"model.model_name={name}", *fields])
        assert _num_parameters(settings) < SMALL


def _note(config_name):
    """What the docstring of a config says of the expected result."""
    text = ast.get_docstring(ast.parse((ROOT / f"config/{config_name}.py").read_text()))
    return re.search(r"^Hardware: .+?(?=\n\n|\Z)", text, re.M | re.S)[0]


PUBLISHED_EXPERIMENTS = {
    name: config_name
    for name in RUNNABLE
    if (found := re.search(r"\(expected (\w+)\)", (ROOT / f"recipe/{name}.sh").read_text()))
    for config_name in found.groups()
}


@pytest.mark.parametrize("name", PUBLISHED_EXPERIMENTS)
def test_a_recipe_announces_what_its_config_says(calls_of, name):
    calls, said = calls_of(name, SEEDS="0")
    config_name = PUBLISHED_EXPERIMENTS[name]
    assert _note(config_name) in said
    trained = {argument for call in calls for argument in call if argument.startswith("--config=")}
    assert trained == {f"--config={ROOT}/config/{config_name}.py"}


def test_errors_are_in_the_configs_alone():
    assert len(PUBLISHED_EXPERIMENTS) == 13
    for name in RUNNABLE:
        assert not re.search(
            r"\d ?%", (ROOT / f"recipe/{name}.sh").read_text().partition("\n\n")[2]
        )


def test_the_published_zero_warmup_is_three_steps_from_the_recipe_without(calls_of):
    """docs/recipes.md names the steps."""
    steps = re.findall(r"^bash recipe/(vit-.+)\.sh(.*?)(?:#.*)?$", _section("Step by step"), re.M)
    configs = []
    for name, flags in steps:
        calls, _ = calls_of(name, *flags.split(), SEEDS="0")
        configs += [flatten(settings.to_dict()) for settings in _trainings(calls)]
    changes = [
        {field for field in new if new[field] != old[field]}
        for old, new in itertools.pairwise(configs)
    ]
    assert changes == [{"warmup_epochs"}, {"gnp.alpha"}, {"gr_warmup_strategy"}]


def _section(heading):
    return (ROOT / "docs/recipes.md").read_text().partition(f"# {heading}\n")[2].partition("\n#")[0]


def test_each_seed_is_trained_once(calls_of):
    calls, _ = calls_of("wideresnet-cifar", SEEDS="0 5", JOBS="2")
    assert [settings.seeds for settings in _trainings(calls)] == [0, 5]
    assert "--parallel=2" in calls[0]


def test_all_methods_are_trained_at_each_noise(calls_of):
    calls, _ = calls_of("label-noise", SEEDS="0 1", NOISE="0.4 0", METHODS="standard l2_1e-2")
    assert [
        (settings.dataset.label_noise, settings.l2_regularization, settings.seeds)
        for settings in _trainings(calls)
    ] == list(itertools.product((0.4, 0), (0.001, 0.01), (0, 1)))


def test_the_digits_with_wrong_labels_have_no_augmentation(calls_of):
    assert calls_of("label-noise", "digits", SEEDS="0") == calls_of("label-noise", SEEDS="0")


def test_radii_and_warmup_of_the_methods_can_be_chosen(calls_of):
    methods = "random sam penalty zero_warmup exact"
    chosen = {"R": "0.2", "SAM_R": "0.1", "EXACT_R": "0.3", "ZERO_WARMUP": "5"}
    for changes, (r, sam_r, exact_r, epochs) in (
        ({}, (1, 0.5, 0.5, 3)),
        (chosen, (0.2, 0.1, 0.3, 5)),
    ):
        calls, _ = calls_of("label-noise", SEEDS="0", NOISE="0.4", METHODS=methods, **changes)
        found = list(_trainings(calls))
        assert [settings.gnp.r for settings in found] == [r, sam_r, r, r, exact_r]
        assert found[3].gnp.warmup_epochs == epochs


def test_sharpness_is_measured_as_for_the_published_table(calls_of, tmp_path):
    run = tmp_path / "runs/label-noise/0.4/digits_noise/seed=0"
    run.mkdir(parents=True)
    (run / "summary.json").touch()
    calls, _ = calls_of("label-noise", SEEDS="0", NOISE="0.4", METHODS="standard", SHARPNESS="1")
    (measured,) = [call for call in calls if "gnp.main.sharpness" in call]
    results = (ROOT / "RESULTS.md").read_text()
    published = re.search(r"sharpness --run=RUN (.*--trace_samples.*)`", results)
    assert f"--run={run}" in measured
    assert set(published[1].split()) <= set(measured)
    assert "gnp.main.report" in calls[-1]


def test_a_failed_training_does_not_stop_the_other_noises(calls_of):
    failing = "--config.dataset.label_noise=0.4"
    for code, num_calls in (("1", 2), ("2", 1), ("143", 1)):
        noises = {"FAILING": failing, "EXIT_CODE": code, "NOISE": "0.4 0"}
        calls, _ = calls_of("label-noise", returncode=int(code), **noises)
        assert len(calls) == num_calls


def test_a_recipe_runs_in_a_slurm_array(calls_of, tmp_path):
    # sbatch runs a copy in another folder with another name.
    script = tmp_path / "spool" / "slurm_script"
    script.parent.mkdir()
    script.write_text((ROOT / "recipe/cluster/array.sh").read_text())
    calls, _ = calls_of(
        "array",
        "recipe/wideresnet-cifar.sh",
        "--config.base_lr=0.2",
        script=script,
        SEEDS="0 5",
        SLURM_SUBMIT_DIR=str(ROOT),
        SLURM_ARRAY_TASK_ID="1",
    )
    assert [(each.seeds, each.base_lr) for each in _trainings(calls)] == [(0, 0.2), (5, 0.2)]
    assert f"--out={tmp_path}/runs/report/wideresnet-cifar" in calls[-1]


def test_a_seed_sweep_has_five_seeds_and_one_in_its_smoke_test(calls_of):
    calls, _ = calls_of("seed-sweep")
    assert [settings.seeds for settings in _trainings(calls)] == [0, 1, 2, 3, 4] * 2
    calls, _ = calls_of("seed-sweep", SMOKE="1")
    assert [settings.seeds for settings in _trainings(calls)] == [0, 0]


@pytest.mark.parametrize(
    ("file", "r", "alpha"),
    [("digits", 0.1, 0.8), ("imagenet", 0.05, 0.8), ("cifar10_vit_zero_warmup", 0.1, 1.0)],
)
def test_a_seed_sweep_uses_the_penalty_of_the_config_if_it_has_one(calls_of, file, r, alpha):
    calls, _ = calls_of("seed-sweep", file, SEEDS="1")
    trainings = [(s.gnp.r, s.gnp.alpha, s.gr_warmup_strategy) for s in _trainings(calls)]
    assert trainings == [(0, 0, "none"), (r, alpha, "none")]


def test_a_seed_sweep_adds_a_zero_warmup(calls_of):
    calls, _ = calls_of("seed-sweep", SEEDS="1", ZERO_WARMUP="15")
    settings = list(_trainings(calls))
    assert [each.gnp.r for each in settings] == [0, 0.1, 0.1]
    assert [each.gr_warmup_strategy for each in settings] == ["none", "none", "zero"]
    assert settings[2].gnp.warmup_epochs == 15


def test_the_tasks_of_the_reproduction_cover_all_cells(calls_of):
    def cells(**environment):
        calls, _ = calls_of("reproduce", **environment)
        return [
            (settings.model.model_name, settings.gnp.r, settings.gr_warmup_strategy, settings.seeds)
            for settings in _trainings(calls)
        ]

    shares = [cells(TASK=str(task), TASKS="2") for task in range(2)]
    assert len(shares[0]) + len(shares[1]) == 27
    assert sorted(shares[0] + shares[1]) == sorted(cells())


def _num_trainings(calls):
    return sum("gnp.main.main" in arguments for arguments in calls)


def test_an_array_covers_all_cells_for_any_first_task_number(calls_of):
    shares = []
    for task in range(1, 5):
        array = {"ID": task, "COUNT": 4, "MIN": 1}
        array = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in array.items()}
        shares.append(_num_trainings(calls_of("reproduce", **array)[0]))
    assert shares == [7, 7, 7, 6]


@pytest.mark.parametrize(
    "environment",
    [
        {"TASK": "4", "TASKS": "4"},
        {"TASK": "1"},
        # of --array=1,3,7
        {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1"},
    ],
)
def test_an_invalid_share_is_refused(calls_of, environment):
    calls, said = calls_of("reproduce", returncode=2, **environment)
    assert not calls
    assert "shares count from 0" in said


@pytest.mark.parametrize("code", ["3", "137"])  # 137: killed, for example out of memory
def test_a_failed_training_does_not_stop_the_others(calls_of, code):
    failing = "--config.model.model_name=ViT_TI16"
    calls, said = calls_of("reproduce", returncode=1, FAILING=failing, EXIT_CODE=code)
    assert _num_trainings(calls) == 27
    assert "gnp.main.reproduction" in calls[-1]
    assert "Failed trainings, see above: 9." in said


def test_an_interrupted_training_stops_the_reproduction(calls_of):
    failing = "--config.model.model_name=ViT_S16"
    calls, _ = calls_of("reproduce", returncode=143, FAILING=failing, EXIT_CODE="143")
    assert _num_trainings(calls) == 4


def test_dense_sparse_dense_has_three_phases_also_in_its_smoke_test(calls_of):
    for smoke in ("", "1"):
        calls, _ = calls_of("dense-sparse-dense", SMOKE=smoke, SEEDS="0")
        _, settings = _trainings(calls)
        threshold = settings.regularization.weight.threshold
        assert threshold.first_epoch < threshold.last_epoch < threshold.release_epoch
        assert threshold.release_epoch < settings.total_epochs


def test_every_run_of_the_reproduction_counts_in_its_table(calls_of, tmp_path):
    calls, _ = calls_of("reproduce")
    for number, settings in enumerate(_trainings(calls)):
        run = tmp_path / f"done/{number}"
        run.mkdir(parents=True)
        write_config(run, settings)
        (run / "summary.json").write_text(
            '{"steps": 1, "final": {"eval/error_rate": 0.1}, "best": {"eval/error_rate": 0.1}}'
        )
    assert read_errors(tmp_path / "done") == dict.fromkeys(PUBLISHED, [10.0] * NUM_SEEDS)


def _call_smoke(name, folder):
    result = call(
        f"recipe/{name}.sh",
        *([] if name == "fine-tune" else ARGUMENTS.get(name, [])),  # it trains its weights
        folder=folder,
        SMOKE="1",
        WORKING_DIR="out",
        GNP_PYTHON=sys.executable,
        JAX_NUM_CPU_DEVICES="1",
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNNABLE)
def test_the_smoke_test_of_a_recipe_runs(tmp_path, name):
    _call_smoke(name, tmp_path)
    assert list(tmp_path.glob("out/**/summary.json"))
    assert list(pathlib.Path(tmp_path / "out").glob("re*/**/*.md"))


@pytest.mark.slow
def test_dense_sparse_dense_sets_weights_to_zero_and_releases_them(tmp_path):
    _call_smoke("dense-sparse-dense", tmp_path)
    (table,) = tmp_path.glob("out/digits/*/sparsity.md")
    key = "sparsity/all"
    shares = [line[key] for line in read_metrics(table.with_name("metrics.jsonl")) if key in line]
    assert shares[0] == shares[1] > 0
    assert shares[2] < shares[1]
