"""Several processes train as one does: the same command, on loopback, with virtual devices."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gnp.runs.metrics import read_metrics
from gnp.training.checkpoints.saved_variables import read_newest_variables

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = [
    "--config=config/digits.py",
    "--config.model.model_name=SmoothNet",
    "--config.model.model_module=tests/main/small_models.py",
    "--config.dataset.num_train_images=320",
    "--config.dataset.image_level_augmentations=none",
    "--config.batch_size=32",
    "--config.total_epochs=1",
    "--config.gnp.r=0.1",
    "--config.gnp.alpha=0.8",
]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(folder, flags, *, processes, devices):
    """Starts the entrypoint `processes` times, with `devices` virtual devices each."""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    address = f"--coordinator_address=127.0.0.1:{free_port()}"
    cluster = [
        [address, f"--num_processes={processes}", f"--process_id={index}"]
        for index in range(processes)
    ]
    command = [sys.executable, "-m", "gnp.main.main", *FLAGS, *flags, f"--working_dir={folder}"]
    return [
        subprocess.Popen(
            command + (cluster[index] if processes > 1 else []),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(processes)
    ]


def finish(started):
    outputs = [process.communicate(timeout=400)[0] for process in started]
    return [process.returncode for process in started], "\n".join(outputs)


def metrics_in(folder):
    (path,) = folder.rglob("metrics.jsonl")
    return read_metrics(path)


def variables_in(folder):
    (config,) = folder.rglob("config.json")
    return read_newest_variables(config.parent)


def train(folder, *flags, processes=1, devices=4):
    codes, output = finish(start(folder, flags, processes=processes, devices=devices))
    assert codes == [0] * processes, output
    return metrics_in(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--config.gnp.sync_perturbations=True"],
        ["--config.gnp.perturbation_batch=4"],
        ["--config.gnp.perturbation_batch=16"],
        ["--config.dataset.label_noise=0.4"],
        ["--config.gnp.ascent=momentum", "--config.gnp.alpha=1"],
    ],
    ids=["own", "synced", "groups within a device", "groups of devices", "noise", "one pass"],
)
def test_two_processes_of_two_devices_train_as_one_of_four(tmp_path, flags):
    """Not bit for bit: processes add up in another order than the devices of one.

    That error stays small in a smooth model; a ReLU would turn at some image, and the runs part.
    """
    one = train(tmp_path / "one", *flags)
    two = train(tmp_path / "two", *flags, processes=2, devices=2)
    assert [line.keys() for line in one] == [line.keys() for line in two]
    assert len(one) == 11
    for expected, line in zip(one, two, strict=True):
        for name in expected:
            np.testing.assert_allclose(line[name], expected[name], rtol=1e-5, atol=1e-6)
    expected, found = (variables_in(tmp_path / name) for name in ("one", "two"))
    for collection in ("params", "batch_stats"):
        a, b = (ravel_pytree(tree[collection])[0] for tree in (expected, found))
        assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(a)


@pytest.mark.slow
def test_a_lost_process_is_named_before_jax_ends_the_other(tmp_path):
    flags = ["--config.total_epochs=20000", "--config.save_ckpt_every_n_epochs=100"]
    first, second = start(tmp_path, flags, processes=2, devices=2)
    while not list(tmp_path.rglob("metrics.jsonl")) or len(metrics_in(tmp_path)) < 12:
        assert first.poll() is None, finish([first, second])
        time.sleep(0.5)
    second.kill()
    output = first.communicate(timeout=200)[0]
    assert first.returncode in (5, -6)  # ours, or that of JAX, which aborts
    # The collective operation under way fails, or waits until JAX finds out.
    said = re.search(r"(Process 1 of 2 \(process|Another process was lost).*", output)
    assert "same command resumes from the last checkpoint" in said[0]
    assert said.start() < output.find("Terminating process") or "Terminating process" not in output


@pytest.mark.slow
def test_two_processes_stop_early_together(tmp_path):
    flags = ["--config.early_stopping_patience=2", "--config.total_epochs=20", "--config.base_lr=0"]
    flags += ["--config.l2_regularization=0"]
    metrics = train(tmp_path, *flags, processes=2, devices=2)
    stopped = metrics[-1]["step"]
    assert stopped < 200
    assert {path.name for path in tmp_path.rglob("checkpoints/*")} >= {str(stopped)}


@pytest.mark.slow
def test_processes_stop_together_and_go_on(tmp_path):
    flags = ["--config.total_epochs=200", "--config.save_ckpt_every_n_epochs=100"]
    started = start(tmp_path, flags, processes=2, devices=2)
    while not list(tmp_path.rglob("metrics.jsonl")) or len(metrics_in(tmp_path)) < 12:
        assert all(process.poll() is None for process in started), finish(started)
        time.sleep(0.5)
    started[1].send_signal(signal.SIGTERM)
    codes, output = finish(started)
    assert codes == [143, 143], output
    stopped = metrics_in(tmp_path)[-1]["step"]
    assert f"Stopped after step {stopped}" in output
    (checkpoints,) = tmp_path.rglob("checkpoints")
    assert (checkpoints / str(stopped)).is_dir()
