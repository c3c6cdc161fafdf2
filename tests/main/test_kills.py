"""A run that is killed ten times in a row ends as one that was left alone."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from gnp.runs.metrics import read_metrics

ROOT = pathlib.Path(__file__).parents[2]
STEPS_PER_EPOCH, EPOCHS = 10, 30
FLAGS = [
    "--config=config/digits.py",
    "--config.model.model_module=tests.main.small_models",
    "--config.model.model_name=SmallDropoutNet",
    f"--config.total_epochs={EPOCHS}",
    f"--config.dataset.num_train_images={32 * STEPS_PER_EPOCH}",
    "--config.batch_size=32",
    "--config.dataset.batch_level_augmentations=mixup",
    "--config.dataset.label_noise=0.3",
    "--config.gnp.r=0.1",
    "--config.warmup_epochs=3",
    "--config.use_hybrid_training",
    "--config.hybrid_config.p=0.6",
    "--config.label_smoothing=0.1",
    "--config.ema_decay=0.95",
    "--config.save_ckpt_every_n_steps=3",
    "--config.save_ckpt_every_n_epochs=1",
]
TWO_PASSES = ("--config.gnp.alpha=0.8",)
FORMS = {
    "warmup of r": (*TWO_PASSES, "--config.gr_warmup_strategy=r"),
    "warmup of lambda": (*TWO_PASSES, "--config.gr_warmup_strategy=lambda"),
    "one pass": ("--config.gnp.alpha=1", "--config.gnp.ascent=momentum"),
}
START_UP, EPOCH, EVALUATION, SAVING = "start-up", "in an epoch", "evaluation", "saving"
TARGETS = [START_UP, EPOCH, EVALUATION, SAVING] * 2 + [EPOCH, SAVING]
LONGEST_START = 300  # seconds


class Run:
    """The command, and what its folder tells about it from outside."""

    def __init__(self, working_dir, *flags):
        self._working_dir = working_dir
        self._flags = flags

    def start(self):
        command = [sys.executable, "-m", "gnp.main.main", *FLAGS, *self._flags]
        self.log_before = len(self.text("log.txt"))
        self.metrics_before = self._identity()
        self.process = subprocess.Popen(
            [*command, f"--working_dir={self._working_dir}"],
            cwd=ROOT,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self):
        output = self.process.communicate(timeout=LONGEST_START)[0]
        assert self.process.returncode == 0, output

    def kill(self):
        assert self.process.poll() is None, self.process.communicate()[0]
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    @property
    def folder(self):
        return next((path.parent for path in self._working_dir.rglob("config.json")), None)

    def text(self, name):
        path = self.folder and self.folder / name
        return path.read_text() if path and path.exists() else ""

    def lines(self):
        """What this start and those before it have recorded."""
        path = self.folder and self.folder / "metrics.jsonl"
        return read_metrics(path) if path and path.exists() else []

    def first_step(self):
        """The step that this start resumes after; None until it has resumed."""
        if self._identity() == self.metrics_before:
            return None
        found = re.search(r"Resuming after step (\d+) of", self.text("log.txt")[self.log_before :])
        return int(found[1]) if found else 0

    def last_line(self):
        whole_lines = self.text("metrics.jsonl").rpartition("\n")[0]
        return json.loads(whole_lines.rpartition("\n")[2]) if whole_lines else {"step": 0}

    def steps_of_this_start(self):
        first_step = self.first_step()
        return 0 if first_step is None else self.last_line()["step"] - first_step

    def phase(self):
        """What the run is doing, or was doing when it was killed."""
        if self.steps_of_this_start() <= 0:
            return START_UP
        if self.is_saving():
            return SAVING
        last = self.last_line()
        at_end_of_epoch = last["step"] % STEPS_PER_EPOCH == 0
        return EVALUATION if at_end_of_epoch and "eval/loss" not in last else EPOCH

    def is_saving(self):
        return any(self.folder.glob("checkpoints/*orbax-checkpoint-tmp*"))

    def _identity(self):
        path = self.folder and self.folder / "metrics.jsonl"
        return path.stat().st_ino if path and path.exists() else None


def wait_for(run, phase, draw, start_up_seconds):
    """Returns at a random moment of a phase."""
    if phase == START_UP:
        time.sleep(draw.uniform(0.1, 0.8) * start_up_seconds)
        return
    deadline = time.monotonic() + LONGEST_START
    steps = draw.randrange(1, STEPS_PER_EPOCH)
    while run.phase() != phase or run.steps_of_this_start() < steps:
        assert run.process.poll() is None, run.process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(draw.uniform(0, 0.005))


def time_of_start_up(run):
    """Seconds from the start to the first step, with programs that are compiled already."""
    run.start()
    start = time.monotonic()
    while run.phase() == START_UP:
        assert run.process.poll() is None, run.process.communicate()[0]
        time.sleep(0.01)
    run.kill()
    return time.monotonic() - start


def state_of(folder, step):
    with ocp.PyTreeCheckpointer() as reader:
        path = folder / "checkpoints" / str(step) / "state"
        as_numpy = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
            reader.metadata(path).item_metadata.tree,
        )
        return reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=as_numpy))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_run_killed_ten_times_ends_as_one_that_was_left_alone(tmp_path, form, capsys):
    flags = FORMS[form]
    whole, killed = Run(tmp_path / "whole", *flags), Run(tmp_path / "killed", *flags)
    whole.start()
    whole.finish()
    start_up_seconds = time_of_start_up(Run(tmp_path / "timed", *flags))

    draw = random.Random(f"kills {form}")
    targets = draw.sample(TARGETS, len(TARGETS))
    rows = []
    for target in targets:
        killed.start()
        start = time.monotonic()
        wait_for(killed, target, draw, start_up_seconds)
        killed.kill()
        moment, steps = time.monotonic() - start, [line["step"] for line in killed.lines()]
        rows.append((moment, killed.phase(), max(steps, default=0)))
    killed.start()
    killed.finish()

    restarts = re.findall(r"Resuming after step (\d+) of", killed.text("log.txt"))
    with capsys.disabled():
        print(f"\n{form}; resumed after steps {', '.join(restarts)}")
        print(f"{'killed after':>12}  {'phase':<12}{'last step':>10}")
        for moment, phase, step in rows:
            print(f"{moment:>10.1f} s  {phase:<12}{step:>10}")

    assert {phase for _, phase, _ in rows} == {START_UP, EPOCH, EVALUATION, SAVING}
    assert killed.text("metrics.jsonl") == whole.text("metrics.jsonl")
    steps = [line["step"] for line in killed.lines() if "train/loss" in line]
    assert steps == list(range(1, STEPS_PER_EPOCH * EPOCHS + 1))
    states = [state_of(run.folder, STEPS_PER_EPOCH * EPOCHS) for run in (whole, killed)]
    assert states[0].keys() >= {"params", "opt_state", "batch_stats", "ema", "key", "step"}
    jax.tree.map(np.testing.assert_array_equal, *states)
    names = [
        sorted(str(path.relative_to(run.folder)) for path in run.folder.glob("*"))
        for run in (whole, killed)
    ]
    assert names[0] == names[1]
    checkpoints = [
        sorted(path.name for path in run.folder.glob("checkpoints/*")) for run in (whole, killed)
    ]
    assert checkpoints[0] == checkpoints[1]
    summaries = [json.loads(run.text("summary.json")) for run in (whole, killed)]
    for field in ("steps", "final", "best", "parted", "stopped_early"):
        assert summaries[0][field] == summaries[1][field]
