"""`gnp sweep` and `gnp compare`: what is trained, what is refused before, and the report."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.start.methods import METHODS, fields_of
from gnp.main.start.trainings import _without_slurm
from gnp.main.sweep import combinations

ROOT = pathlib.Path(__file__).parents[2]
SMALL = (
    *("--config=digits_noise", "--config.total_epochs=1", "--config.dataset.num_train_images=64"),
    *("--config.model.model_name=ViT_Micro", "--config.evaluate_every_n_epochs=1"),
)


def command(name, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", f"gnp.main.{name}", *SMALL, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_grid_has_all_combinations():
    found = combinations(["gnp.r=0.1,0.2", 'config.opt.groups=(("a,b",1),),()'])
    assert [name for name, _ in found] == [
        'gnp.r=0.1 opt.groups=(("a,b",1),)',
        "gnp.r=0.1 opt.groups=()",
        'gnp.r=0.2 opt.groups=(("a,b",1),)',
        "gnp.r=0.2 opt.groups=()",
    ]
    assert found[-1][1] == {"gnp.r": "0.2", "opt.groups": "()"}


def test_each_variant_has_all_combinations():
    variant = "gnp.r=1\n    opt.groups=(('a b', 1),)"
    assert [fields for _, fields in combinations(["base_lr=1,2"], ["", variant])] == [
        {"base_lr": "1"},
        {"base_lr": "2"},
        {"gnp.r": "1", "opt.groups": "(('a b', 1),)", "base_lr": "1"},
        {"gnp.r": "1", "opt.groups": "(('a b', 1),)", "base_lr": "2"},
    ]
    assert combinations([]) == [("", {})]


@pytest.mark.parametrize(
    ("axes", "variants", "sentence"),
    [
        (["gnp.r"], [], "--grid has 'gnp.r'; write it as --grid=gnp.r=0.1,0.2."),
        (["gnp.r="], [], "--grid has 'gnp.r='; write it as"),
        (["gnp.r=1", "gnp.r=2"], [], "--grid names gnp.r twice"),
        (["seeds=1,2"], [], "--grid names seeds; set both seeds by --seeds"),
        ([], ["gnp.r 1"], "--variant has 'gnp.r'; write it as --variant="),
        ([], ["gnp.r=1 gnp.r=2"], "--variant names gnp.r twice"),
        (["gnp.r=1,2"], ["", "gnp.r=1"], "--variant and --grid both name gnp.r"),
    ],
)
def test_combinations_that_are_none_are_refused(axes, variants, sentence):
    with pytest.raises(UserError, match=sentence):
        combinations(axes, variants)


def fields(method, *overrides):
    config = load_config("digits_noise", overrides)
    texts = [f"{name}={value}" for name, value in fields_of(method, config).items()]
    return load_config("digits_noise", [*overrides, *texts])


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_the_same_from_any_config(method):
    usual = fields(method, "gnp.r=1", "gnp.alpha=0.7")
    on = ("gnp.when.every=3", "gnp.ascent=friendly", "use_hybrid_training=True")
    assert fields(method, "gnp.r=1", "gnp.alpha=0.7", *on) == usual


def test_a_method_has_the_radius_of_the_config_or_its_own():
    assert fields("gnp", "gnp.r=2", "gnp.alpha=0.5").gnp.r == 2
    own = fields("sam:0.5", "gnp.r=2", "gnp.alpha=0.5")
    assert (own.gnp.r, own.gnp.alpha) == (0.5, 1)
    assert fields("gnp:0.5").gnp.alpha == 0.8
    assert fields("standard", "gnp.r=2", "gnp.alpha=0.5").gnp.r == 0


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("samm:1", "Unknown method 'samm'; known: sam, "),
        ("standard:1", "standard training has none"),
        ("sam", "The config has no radius for the method 'sam'; set it by --config.gnp.r=0.1, or"),
    ],
)
def test_a_method_that_cannot_be_is_refused(method, sentence):
    with pytest.raises(UserError) as error:
        fields_of(method, load_config("digits_noise"))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--grid=base_lr=0.1",), "--working_dir is missing"),
        (("--working_dir={}", "--grid=base_lr=0.1,0.2,fast"), "base_lr"),
        (("--working_dir={}", "--grid=gnp.rr=0.1"), "gnp.rr"),
        (("--working_dir={}", "--grid=base_lr=0.1,0.10"), "These are the same training"),
        (("--working_dir={}", "--grid=base_lr=0.1,0.1"), "These are the same training"),
        (("--working_dir={}", "--seeds=0,0"), "These are the same training"),
        (("--working_dir={}", "--grid=base_lr=0.1", "--seeds=a"), "seeds"),
        (("--working_dir={}", "--grid=base_lr=0.1", "--seeds="), "There is nothing to train"),
        (("--working_dir={}", "--out=/dev/null/out"), "The folder /dev/null/out (--out) cannot be"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(tmp_path, arguments, sentence):
    result = command("sweep", *(argument.format(tmp_path) for argument in arguments))
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert not list(tmp_path.iterdir())


def test_a_sweep_trains_compares_and_tells_what_diverged(tmp_path):
    arguments = f"--working_dir={tmp_path}", "--grid=base_lr=0.1,1e30", "--parallel=2"
    steps = "--config.dataset.num_train_images=320", "--config.on_nonfinite=stop"
    result = command("sweep", *arguments, *steps, "--config.gnp.warmup_epochs=1")
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("gnp.warmup_epochs is 1.0, but") == 1
    assert "1 of 2 trainings failed: base_lr=1e30, seed 0 could not continue: " in result.stderr
    assert result.stderr.endswith("skips such steps.\n")
    (row,) = json.loads((tmp_path / "report/report.json").read_text())["groups"]
    assert row["num_seeds"] == 1


@pytest.mark.parametrize("given", [["--slurm=-G 1"], ["--slurm", "-G 1"], ["-slurm=-G 1"]])
def test_tasks_get_the_command_without_slurm(given):
    assert list(_without_slurm(["--seeds=0,1", *given, "--parallel=2"])) == [
        "--seeds=0,1",
        "--parallel=2",
    ]


def test_slurm_gets_this_command_as_a_job_array(tmp_path):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/given\n')
    sbatch.chmod(0o755)
    arguments = f"--working_dir={tmp_path / 'runs'}", "--methods=standard,sam:0.1", "--seeds=0,1,2"
    path = f"{tmp_path}:{os.environ['PATH']}"
    result = command("compare", *arguments, "--slurm=--gres=gpu:1 --time=60", PATH=path)
    assert result.returncode == 0, result.stderr
    array, *options, wrapped = (tmp_path / "given").read_text().splitlines()
    assert array == "--array=0-5"
    assert options == ["--gres=gpu:1", "--time=60"]
    assert "-m gnp.main.compare" in wrapped
    assert "--seeds=0,1,2" in wrapped
    assert "--slurm" not in wrapped
    missing = command("compare", *arguments, SLURM_ARRAY_TASK_ID="6")
    assert missing.returncode == 2
    assert "Task 6 of the array has no training, as there are 6" in missing.stderr
    assert not (tmp_path / "runs").exists()


def test_a_task_of_a_job_array_trains_one_and_the_last_one_compares(tmp_path):
    arguments = f"--working_dir={tmp_path}", "--seeds=0,1"
    for task, num_runs in (("1", 1), ("0", 2)):
        assert not (tmp_path / "report").exists()
        result = command("sweep", *arguments, SLURM_ARRAY_TASK_ID=task)
        assert result.returncode == 0, result.stderr
        assert len(list(tmp_path.glob("digits_noise/*/summary.json"))) == num_runs
    (row,) = json.loads((tmp_path / "report/report.json").read_text())["groups"]
    assert row["num_seeds"] == 2
