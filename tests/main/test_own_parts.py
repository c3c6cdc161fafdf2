"""The parts of docs/extending.md in one file outside of the package: trained, stopped, resumed."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import jax
import numpy as np
import optax
import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.main import run
from gnp.main.run import load_run
from gnp.main.start.own_parts import import_modules
from gnp.optimizer.optimizers import optimizer_named, optimizer_names, register_optimizer
from gnp.training.loss import loss_names
from tests import registries
from tests.main.test_kills import LONGEST_START, state_of
from tests.pages import blocks, commands
from tests.training.toy import ToyModel, toy_settings

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "extending.md"
SHORT = ("total_epochs=3", "dataset.num_train_images=320", "save_ckpt_every_n_epochs=1")
KINDS = ("model", "optimizer", "schedule", "loss", "augmentation", "source")


@pytest.fixture(autouse=True)
def _own_tables(monkeypatch):
    registries.forget_after(monkeypatch)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the page's parts as a file."""
    parts = [block for block in blocks(PAGE, "python") if "@gnp.register_" in block]
    for kind in KINDS:
        assert any(f"@gnp.register_{kind}(" in part for part in parts)
    (tmp_path / "my_parts.py").write_text("\n".join(parts))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def documented(*more):
    """The fields that the page's command sets."""
    (words,) = [words for _, words in commands(PAGE) if "--config.modules=my_parts.py" in words]
    assert "--config=config/digits.py" in words
    fields = [word.removeprefix("--config.") for word in words if word.startswith("--config.")]
    return [*fields, *SHORT, *more]


def folder_of(working_dir):
    (file,) = working_dir.rglob("config.json")
    return file.parent


def check_same(*folders):
    """Metrics and states agree in every bit."""
    texts = [(folder / "metrics.jsonl").read_text() for folder in folders]
    assert texts[0] == texts[1]
    steps = [json.loads((folder / "summary.json").read_text())["steps"] for folder in folders]
    jax.tree.map(np.testing.assert_array_equal, *map(state_of, folders, steps))


@pytest.mark.usefixtures("_compile_fast")
@pytest.mark.parametrize("loader", ["tfdata", "device"])
def test_a_run_with_all_of_them_resumes_to_the_same_bits(folder, loader):
    config = load_config(
        "digits", documented(f"dataset.loader={loader}", "gnp.r=0.1", "gnp.alpha=1")
    )
    for name in ("whole", "parts"):
        run(config, folder / name)
    whole, parts = (folder_of(folder / name) for name in ("whole", "parts"))
    newest = max(int(path.name) for path in (parts / "checkpoints").iterdir())
    (parts / "checkpoints" / str(newest)).rename(folder / "away")
    run(config, folder / "parts")
    assert "Resuming after step 10 of 15" in (parts / "log.txt").read_text()
    check_same(whole, parts)
    found = load_run(whole)
    assert found.class_names == ["disc", "ring"]
    assert found.predict(np.zeros((2, 16, 16, 1), np.uint8)).probabilities.shape == (2, 2)


def start(*flags):
    return subprocess.Popen(
        [sys.executable, "-m", "gnp.main.main", "--config=digits", *flags],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_one_that_was_left_alone(folder):
    fields = documented(
        "total_epochs=20", "save_ckpt_every_n_epochs=1", "save_ckpt_every_n_steps=2"
    )
    flags = [f"--config.{field}" for field in fields]
    killed = start(*flags, "--working_dir=killed")
    deadline = time.monotonic() + LONGEST_START
    while not any(path.name.isdigit() for path in folder.glob("killed/**/checkpoints/*")):
        assert killed.poll() is None, killed.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not list(folder.rglob("summary.json"))
    for name in ("killed", "whole"):
        process = start(*flags, f"--working_dir={name}")
        output = process.communicate(timeout=LONGEST_START)[0]
        assert process.returncode == 0, output
    assert "Resuming after step" in (folder_of(folder / "killed") / "log.txt").read_text()
    check_same(*(folder_of(folder / name) for name in ("killed", "whole")))


def refused(*fields):
    """What the command says about a config that it refuses; it leaves no folder."""
    process = start(*(f"--config.{field}" for field in documented(*fields)), "--working_dir=runs")
    said = process.communicate(timeout=LONGEST_START)[0]
    assert process.returncode == 2, said
    assert not pathlib.Path("runs").exists()
    return said.strip().splitlines()


BAD = """
import gnp


@gnp.register_loss("mean")
def mean(logits, labels):
    return logits.mean()


@gnp.register_augmentation("cut")
def cut(xp, images, uniforms):
    return images[:, 1:]
"""


def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(folder):
    (folder / "bad.py").write_text(BAD)
    modules = "modules=my_parts.py,bad.py"
    (loss,) = refused(modules, "loss=mean")
    assert loss.startswith("The loss mean returns float32 of the shape () for 2 images; it must")
    *_, images = refused(modules, "dataset.image_level_augmentations=cut")
    assert images.startswith(
        "The augmentation cut returns float32 of 64x15x16x1 for float32 of 64x"
    )


def test_files_of_the_same_name_are_two_modules(tmp_path):
    files = [tmp_path / folder / "parts.py" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        file.write_text(
            "import gnp\n\n\n"
            f"@gnp.register_loss('loss {file.parent.name}')\n"
            "def loss(logits, labels):\n"
            "    return labels[:, 0]\n"
        )
    config = load_config("digits", [f"modules={','.join(map(str, files))}"])
    for _ in range(2):
        import_modules(config)
    assert {"loss a", "loss b"} < set(loss_names())


def test_a_file_that_fails_leaves_no_names_and_may_be_corrected(tmp_path):
    file = tmp_path / "parts.py"
    text = "import gnp, optax, neighbour\ngnp.register_optimizer('Mine')(optax.sgd)\n"
    (tmp_path / "neighbour.py").write_text("")
    config = load_config("digits", [f"modules={file}"])
    file.write_text(text + "1 / 0\n")
    with pytest.raises(UserError, match=r"parts\.py' fails \(line 3, ZeroDivisionError: division"):
        import_modules(config)
    assert "Mine" not in optimizer_names()
    file.write_text(text)
    import_modules(config)
    assert "Mine" in optimizer_names()


def test_a_cell_of_a_notebook_may_be_run_again(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    for rate in (1, 2):
        register_optimizer("Mine")(lambda learning_rate, rate=rate: optax.sgd(rate))
    assert optimizer_named("Mine").__defaults__ == (2,)
    with pytest.raises(UserError, match="'SGD' is registered already"):
        register_optimizer("SGD")(optax.sgd)


def test_an_optimizer_of_optax_is_one_line():
    register_optimizer("Adan")(optax.adan)
    fields = {"opt.opt_type": "Adan", "opt.opt_params": {"weight_decay": 0.1}}
    assert toy_settings(**fields).initial_state(ToyModel(), (2, 2, 1)).opt_state
    with pytest.raises(UserError, match="the weight decay of Adan is one for all"):
        toy_settings(**fields, no_weight_decay_on_bn=True)
