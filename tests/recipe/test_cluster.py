"""The cluster scripts are well formed and start valid commands."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml
from absl import flags
from absl.testing import flagsaver

from gnp.main import app, main
from gnp.main.config import as_plain_flags, read_config
from gnp.runs.metrics import read_metrics

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "recipe" / "cluster"
SCRIPTS = sorted((ROOT / "recipe").rglob("*.sh"))
SHELLCHECK = shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))
ARGUMENTS = ("--config=config/digits.py", "--config.opt.opt_params={'momentum': 0.8}")


def names(paths):
    return [path.name for path in paths]


@pytest.mark.parametrize("script", SCRIPTS, ids=names(SCRIPTS))
def test_bash_parses_the_scripts(script):
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck comes with the extra dev")
@pytest.mark.parametrize("script", SCRIPTS, ids=names(SCRIPTS))
def test_shellcheck_finds_nothing(script):
    # SC2054: values with a comma are not arrays.
    options = ["--shell=bash", "--severity=warning", "--exclude=SC2054", "--external-sources"]
    result = subprocess.run(
        [SHELLCHECK, *options, "--source-path=SCRIPTDIR", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def parsed(command):
    """Returns the config and the other flags of a training command."""
    python, *rest = command
    assert python.endswith("python")
    assert rest[:2] == ["-m", "gnp.main.main"]
    with flagsaver.flagsaver():
        app.define(main.define_flags)
        assert flags.FLAGS(as_plain_flags(["main", *rest[2:]])) == ["main"]
        return read_config(), flags.FLAGS.flag_values_dict()


def put_on_path(folder, name, body):
    tool = folder / "tools" / name
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f"#!/usr/bin/env bash\n{body}\n")
    tool.chmod(0o755)
    return {"PATH": f"{tool.parent}:{os.environ['PATH']}"}


def record(folder, name, *, exit_code=0):
    """Puts a program on the path that records its arguments, one call per line."""
    body = f'printf "%s\\n" "${{*@Q}}" >> {shlex.quote(str(folder / name))}; exit {exit_code}'
    return put_on_path(folder, name, body)


def calls(folder, name):
    path = folder / name
    return [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []


def call(script, *arguments, **environment):
    return subprocess.run(
        ["bash", FOLDER / script, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("exit_code", "requeued"), [(75, [["requeue", "12"]]), (0, []), (2, [])])
def test_slurm_starts_a_training_and_requeues_an_interrupted_job(tmp_path, exit_code, requeued):
    environment = record(tmp_path, "srun", exit_code=exit_code) | record(tmp_path, "scontrol")
    result = call(
        "slurm.sh", *ARGUMENTS, SLURM_SUBMIT_DIR=str(ROOT), SLURM_JOB_ID="12", **environment
    )
    assert result.returncode == exit_code, result.stderr
    ((cores, option, *command),) = calls(tmp_path, "srun")
    assert (cores, option) == ("--cpus-per-task=8", "--kill-on-bad-exit=0")
    config, _ = parsed(command)
    assert config.interrupt_exit_code == 75
    assert config.opt.opt_params.momentum == 0.8
    assert calls(tmp_path, "scontrol") == requeued


def test_slurm_gets_one_task_per_gpu_and_a_signal_before_the_time_limit():
    lines = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.+))?$", (FOLDER / "slurm.sh").read_text(), re.M)
    options = dict(lines)
    assert len(options) == len(lines)
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert options["gpu-bind"] == "none"
    assert options["signal"] == "USR1@180"  # B: would signal only the script
    assert "requeue" in options


def kubernetes():
    service, job = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return service, job, container


def test_kubernetes_objects_are_consistent():
    service, job, container = kubernetes()
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert pod["restartPolicy"] == "Never"  # required by podFailurePolicy
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_kubernetes_restarts_unless_the_exit_code_is_final():
    _, _, container = kubernetes()
    rules = kubernetes()[1]["spec"]["podFailurePolicy"]["rules"]
    by_code = {
        code: rule["action"]
        for rule in rules
        if "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
    }
    assert by_code == {2: "FailJob", 3: "FailJob", 75: "Ignore"}
    assert all(r["onExitCodes"]["containerName"] == "train" for r in rules if "onExitCodes" in r)
    assert container["name"] == "train"
    assert rules[-1]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_kubernetes_starts_a_training():
    service, job, container = kubernetes()
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    environment["JOB_COMPLETION_INDEX"] = "3"  # set by Kubernetes in indexed jobs
    arguments = [
        re.sub(r"\$\((\w+)\)", lambda match: environment[match[1]], argument)
        for argument in container["args"]
    ]
    config, values = parsed([*container["command"], *arguments])
    assert config.interrupt_exit_code == 75
    assert values["num_processes"] == job["spec"]["completions"]
    assert values["process_id"] == 3
    host, _, port = values["coordinator_address"].partition(":")
    assert host == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert port.isdigit()


def test_a_tpu_slice_gets_the_code_and_a_training_command(tmp_path):
    # The stub unpacks the archive, as the hosts do.
    sent = tmp_path / "sent"
    sent.mkdir()
    environment = record(tmp_path, "gcloud") | put_on_path(
        tmp_path,
        "tar",
        f'/usr/bin/env -i {shutil.which("tar")} "$@" && '
        f'{shutil.which("tar")} -xzf "$2" -C {shlex.quote(str(sent))}',
    )
    result = call("tpu_pod.sh", *ARGUMENTS, TPU="slice", ZONE="zone", **environment)
    assert result.returncode == 0, result.stderr
    copy, install, train = calls(tmp_path, "gcloud")
    for arguments in (copy, install, train):
        assert arguments[:3] == ["compute", "tpus", "tpu-vm"]
        assert {"--zone=zone", "--worker=all"} <= set(arguments)
    assert copy[3] == "scp"
    assert (sent / "gnp" / "main" / "main.py").exists()
    assert not (sent / ".git").exists()
    command = train[-1].removeprefix("--command=cd gnp && ")
    config, _ = parsed(shlex.split(command))
    assert config.opt.opt_params.momentum == 0.8


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("slurm.sh", "This script is for sbatch"),
        ("array.sh", "This script is for sbatch"),
        ("tpu_pod.sh", "Set TPU to the name"),
    ],
)
def test_missing_variables_are_reported(script, sentence):
    result = call(script, SLURM_SUBMIT_DIR="", TPU="")
    assert result.returncode != 0
    assert sentence in result.stderr


# Starts the tasks of a node like srun and returns the highest exit code.
SRUN = """
shift 2
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 SLURM_STEP_NODELIST=localhost "$@" &
    echo $! >> "$TASKS"
done
highest=0
for task in 0 1; do
    wait -n; code=$?
    ((code > highest)) && highest=$code
done
exit $highest
"""


def job_with_a_free_port():
    """Returns a job id for which JAX chooses a free port."""
    for port in range(61440, 65536):
        with socket.socket() as listener:
            if listener.connect_ex(("127.0.0.1", port)) != 0:
                return port - 61440 + 4096
    raise AssertionError("all ports are taken")


TINY = (
    "--config=config/digits.py",
    "--config.dataset.num_train_images=320",
    "--config.batch_size=32",
)


def two_tasks(folder):
    """Returns the environment of a job on one node, with two tasks of two devices each."""
    return (
        put_on_path(folder, "srun", SRUN)
        | record(folder, "scontrol")
        | {
            "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_JOB_ID": str(job_with_a_free_port()),
            "GNP_PYTHON": sys.executable,
            "JAX_NUM_CPU_DEVICES": "2",
            "TASKS": str(folder / "tasks"),
        }
    )


@pytest.mark.slow
def test_slurm_trains_with_two_tasks(tmp_path):
    flags = (*TINY, f"--working_dir={tmp_path / 'runs'}", "--config.total_epochs=1")
    result = call("slurm.sh", *flags, **two_tasks(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    (folder,) = (path.parent for path in tmp_path.rglob("summary.json"))
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["processes"], summary["device"]) == (2, "4 x cpu")
    assert len(read_metrics(folder / "metrics.jsonl")) == 11


@pytest.mark.slow
def test_slurm_requeues_a_job_close_to_its_time_limit(tmp_path):
    flags = (*TINY, f"--working_dir={tmp_path / 'runs'}", "--config.total_epochs=500")
    environment = two_tasks(tmp_path)
    job = subprocess.Popen(
        ["bash", FOLDER / "slurm.sh", *flags],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not any(len(read_metrics(path)) > 3 for path in tmp_path.rglob("metrics.jsonl")):
        assert job.poll() is None, job.communicate()
        time.sleep(0.5)
    for task in (tmp_path / "tasks").read_text().split():
        os.kill(int(task), signal.SIGUSR1)
    output, _ = job.communicate(timeout=300)
    assert job.returncode == 75, output
    assert calls(tmp_path, "scontrol") == [["requeue", environment["SLURM_JOB_ID"]]]
    (checkpoints,) = tmp_path.rglob("checkpoints")
    assert any(path.name.isdigit() for path in checkpoints.iterdir())
