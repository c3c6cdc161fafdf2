"""Each file of a run's folder, damaged in each way, and what the commands make of it.

SAME: the command does what it does without the damage, and says nothing. WARNED: so it does, and a
warning says what was wrong. ASIDE: so it does, and the checkpoint is set aside. LINES: it trains to
its end, with a warning, and the lines of metrics that were lost are missing. SAID: it changes
nothing and ends with one sentence.
"""

import contextlib
import itertools
import json
import logging
import shutil

import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.evaluate import evaluate_run
from gnp.main.report import report
from gnp.runs.metrics import read_metrics
from gnp.training.interrupt import Interrupted
from tests.faults import damages
from tests.faults.damages import (
    delete,
    empty,
    file,
    flip,
    folder,
    pipe,
    truncate,
)
from tests.faults.small_run import run_folder, train
from tests.training.interruptions import stop_after

SAME, WARNED, ASIDE, LINES, SAID = "same", "warned", "aside", "lines", "said"

NO_FILE = dict.fromkeys((folder, pipe, file), SAID)
CHECKPOINT = {pipe: ASIDE}  # of what else is damaged without harm

# What `train` makes of a finished run: what is damaged -> by damage, and of all others under None.
# One bit may change nothing that matters, or a name.
FINISHED = {
    "config.json": {None: SAID, flip: {SAID, WARNED}, delete: WARNED},
    "data.json": {None: SAID, flip: {SAID, WARNED}, delete: WARNED},
    "devices.json": {None: SAID, delete: SAME},
    "metrics.jsonl": {None: SAID},
    "timings.jsonl": {None: SAID},
    "summary.json": {None: SAME, **NO_FILE},
    "log.txt": {None: SAME, **NO_FILE},
    ".lock": {None: SAME, **NO_FILE},
    "curves.png": {None: SAME, **NO_FILE},
    "tensorboard/*": {None: SAME},
    "tensorboard": {None: SAME, **NO_FILE},
    "checkpoints": {None: SAID},
    "checkpoints/NEW": {None: ASIDE, delete: SAME},
    "checkpoints/NEW/_CHECKPOINT_METADATA": {None: ASIDE, flip: {ASIDE, SAME}, delete: SAME},
    "checkpoints/NEW/commit_success.txt": {None: SAME, pipe: ASIDE},
    "checkpoints/NEW/position": {None: ASIDE},
    "checkpoints/NEW/position/metadata": {None: ASIDE},
    "checkpoints/NEW/metrics": {None: ASIDE},
    "checkpoints/NEW/metrics/metrics": {None: ASIDE},
    "checkpoints/NEW/state": {None: ASIDE},
    "checkpoints/NEW/state/_METADATA": {None: ASIDE},
    "checkpoints/NEW/state/_sharding": {None: ASIDE, delete: SAME},
    "checkpoints/NEW/state/array_metadatas/process_0": {None: ASIDE, delete: SAME},
    "checkpoints/NEW/state/d/*": {None: ASIDE},
    "checkpoints/NEW/state/manifest.ocdbt": {None: ASIDE},
    "checkpoints/NEW/state/ocdbt.process_0/manifest.ocdbt": {None: SAME, pipe: ASIDE},
    "checkpoints/OLD": {None: ASIDE, delete: SAME},
    "checkpoints/OLD/position/metadata": {None: ASIDE},
    "checkpoints/OLD/metrics/metrics": {None: ASIDE},
    "checkpoints/OLD/state/_METADATA": {None: SAME, pipe: ASIDE},
}
# Of an unfinished run: where it differs.
CUT = {truncate: LINES, empty: LINES, delete: LINES, flip: {LINES, SAID}}
UNFINISHED = {
    "metrics.jsonl": {None: SAID, **CUT},
    "timings.jsonl": {None: SAID, **dict.fromkeys(CUT, WARNED), flip: {WARNED, SAID}},
    "checkpoints": {None: SAID, delete: WARNED},
}
# What `evaluate` makes of the last checkpoint; it reads nothing else.
EVALUATE = {
    "config.json": {None: SAID, flip: {SAID, SAME}},
    "data.json": {None: SAID, flip: {SAID, SAME}, delete: SAME},
    "checkpoints": {None: SAID},
    "checkpoints/NEW": {None: SAME, pipe: SAID, file: SAID},
    **{
        name: {**outcomes, None: SAID if outcomes[None] == ASIDE else SAME, pipe: SAID}
        for name, outcomes in FINISHED.items()
        if name.startswith("checkpoints/NEW/")
    },
    "checkpoints/NEW/_CHECKPOINT_METADATA": {None: SAME, pipe: SAID},
}
# What `report` makes of it, with another run beside it.
REPORT = {
    "config.json": {None: WARNED, flip: {SAME, WARNED}, delete: SAME},
    "summary.json": {None: WARNED, flip: {SAME, WARNED}},
    "metrics.jsonl": {None: WARNED, flip: {SAME, WARNED}},
}
FOLDERS = {
    "tensorboard",
    "checkpoints",
    *(f"checkpoints/{name}" for name in ("NEW", "OLD", "NEW/position", "NEW/metrics", "NEW/state")),
}


def expected(table, name, damage, otherwise=None):
    outcomes = table.get(name, otherwise)
    outcome = outcomes.get(damage, outcomes[None])
    return outcome if isinstance(outcome, set) else {outcome}


def cases():
    for name in FINISHED:
        of_this = damages.OF_FOLDERS if name in FOLDERS else damages.OF_FILES
        for damage in of_this:
            marks = [] if damage in (truncate, file) else [pytest.mark.slow]
            yield pytest.param(name, damage, id=f"{name} {damage.__name__}", marks=marks)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, undisturbed):
    """The working directory of the undisturbed run, which stays as it is."""
    copy = tmp_path_factory.mktemp("finished") / "runs"
    return shutil.copytree(undisturbed.parents[1], copy)


@pytest.fixture(scope="session")
def unfinished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unfinished")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(Interrupted):
            train(folder)
    return folder


def damaged(source, tmp_path, name, damage):
    """A copy of a working directory with a damage, and the folder of the run in it."""
    run = run_folder(shutil.copytree(source, tmp_path / "runs"))
    steps = sorted(int(path.name) for path in (run / "checkpoints").iterdir())
    targets = sorted(run.glob(name.replace("NEW", str(steps[-1])).replace("OLD", str(steps[0]))))
    if not targets:
        pytest.skip("an unfinished run has no such file")
    for target in targets:
        damage(target)
    return tmp_path / "runs", run


def contents(folder):
    """What is in all files, but for what each start writes."""
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in (".lock", "log.txt")
        and "tensorboard" not in path.parts
    }


def is_one_sentence(error):
    said = str(error.value)
    return "\n" not in said and said.endswith(".") and len(said) < 800


def check_training(folder, run, good, outcomes, caplog):
    before = contents(folder)
    caplog.clear()
    if outcomes == {SAID}:
        with pytest.raises(UserError) as error:
            train(folder)
        assert is_one_sentence(error)
        assert contents(folder) == before
        return
    with contextlib.suppress(UserError) if SAID in outcomes else contextlib.nullcontext():
        train(folder)
        warnings = [r.getMessage() for r in caplog.records if r.name.startswith("gnp")]
        warnings = [w for w in warnings if not w.startswith("Resuming")]
        outcome = WARNED if warnings else SAME
        if any("set aside" in w for w in warnings):
            outcome = ASIDE
            assert any((run / "damaged").iterdir())
        if read_metrics(run / "metrics.jsonl") != read_metrics(good / "metrics.jsonl"):
            outcome = LINES if warnings else "lines lost without a word"
        assert outcome in outcomes
        # Whatever was lost, the training is that without the damage.
        lines = (read_metrics(path / "metrics.jsonl")[-1] for path in (run, good))
        assert len({str(line) for line in lines}) == 1
        train(folder)  # and what it leaves is whole


@pytest.fixture
def _warnings(caplog):
    caplog.set_level(logging.WARNING)


@pytest.mark.usefixtures("_warnings")
@pytest.mark.parametrize(("name", "damage"), cases())
def test_training_a_finished_run(tmp_path, finished, undisturbed, caplog, name, damage):
    folder, run = damaged(finished, tmp_path, name, damage)
    check_training(folder, run, undisturbed, expected(FINISHED, name, damage), caplog)


@pytest.mark.slow
@pytest.mark.usefixtures("_warnings")
@pytest.mark.parametrize(("name", "damage"), cases())
def test_training_an_unfinished_run(tmp_path, unfinished, undisturbed, caplog, name, damage):
    folder, run = damaged(unfinished, tmp_path, name, damage)
    outcomes = expected(UNFINISHED, name, damage, FINISHED[name])
    check_training(folder, run, undisturbed, outcomes, caplog)


@pytest.mark.parametrize(("name", "damage"), cases())
def test_evaluating(tmp_path, finished, name, damage):
    folder, run = damaged(finished, tmp_path, name, damage)
    before = contents(folder)
    outcomes = expected(EVALUATE, name, damage, {None: SAME})
    allowed = pytest.raises(UserError) if outcomes == {SAID} else contextlib.nullcontext()
    if len(outcomes) > 1:
        allowed = contextlib.suppress(UserError)
    with allowed as error:
        figures = evaluate_run(run, load_config(str(run / "config.json")), "last")
        assert figures["num_images"] == 360
    assert outcomes != {SAID} or is_one_sentence(error)
    assert contents(folder) == before


@pytest.mark.parametrize(("name", "damage"), cases())
def test_reporting(tmp_path, finished, undisturbed, capsys, name, damage):
    folder, run = damaged(finished, tmp_path, name, damage)
    before = contents(folder)
    outcomes = expected(REPORT, name, damage, {None: SAME})
    report([str(folder), str(undisturbed)], tmp_path / "out")
    said = capsys.readouterr()
    assert (WARNED if str(run) in said.err else SAME) in outcomes
    assert len(said.err.splitlines()) <= 1
    final = json.loads((undisturbed / "summary.json").read_text())["final"]
    assert f"{100 * final['eval/error_rate']:.2f}" in said.out
    assert contents(folder) == before


def test_the_table_has_each_file_of_a_run(undisturbed):
    """But for those of orbax's that are there twice."""
    steps = sorted(int(path.name) for path in (undisturbed / "checkpoints").iterdir())
    named = {
        path for name in FINISHED for path in undisturbed.glob(name.replace("NEW", str(steps[-1])))
    }
    newest = undisturbed / "checkpoints" / str(steps[-1])
    others = [
        path.relative_to(undisturbed)
        for path in itertools.chain(undisturbed.iterdir(), newest.rglob("*"))
        if path.is_file() and path not in named
    ]
    assert {path.name for path in others if "ocdbt.process_0" not in path.parts} <= {
        "commit_success.txt"
    }
