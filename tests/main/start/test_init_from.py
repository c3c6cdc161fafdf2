"""Starting from the parameters of another run."""

import logging
import pathlib
import shutil
import types

import jax
import numpy as np
import pytest
from flax import linen as nn

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.convert import weights_of_run
from gnp.main.main import run
from gnp.main.start import init_from
from gnp.model.weights import save_weights
from gnp.runs.metrics import read_metrics
from gnp.training.checkpoints.saved_variables import find_checkpoints, read_variables

TINY = ("model.model_name=ViT_Micro", "dataset.num_train_images=128", "total_epochs=2")


def train(working_dir, *overrides):
    run(load_config("config/digits.py", [*TINY, *overrides]), working_dir)
    (summary,) = working_dir.rglob("summary.json")
    return summary.parent


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return train(tmp_path_factory.mktemp("first"), "save_ckpt_every_n_epochs=1")


def losses(folder):
    return [m["train/loss"] for m in read_metrics(folder / "metrics.jsonl") if "train/loss" in m]


def frozen(init_from):
    """A run whose parameters stay where they began."""
    return f"init_from={init_from}", "base_lr=0", "l2_regularization=0", "total_epochs=1"


def variables(checkpoint):
    return read_variables(pathlib.Path(checkpoint))


@pytest.mark.parametrize("name", ["", "checkpoints/2", "checkpoints/4", "weights.npz"])
def test_a_run_starts_from_a_run_a_checkpoint_or_converted_weights(first, tmp_path, name):
    if name == "weights.npz":
        save_weights(first / name, weights_of_run(first))
    second = train(tmp_path, *frozen(first / name))
    expected = first / (name if "checkpoints" in name else "checkpoints/4")
    jax.tree.map(
        np.testing.assert_array_equal,
        variables(second / "checkpoints/2"),
        variables(expected),
    )


def test_step_optimizer_and_keys_are_fresh(first, tmp_path):
    second = train(tmp_path / "second", f"init_from={first}")
    assert len(losses(second)) == 4
    assert losses(second)[0] < losses(first)[0]
    again = train(tmp_path / "again", f"init_from={first}")
    assert losses(again) == losses(second)


def test_a_checkpoint_of_its_own_comes_first(first, tmp_path, caplog):
    moved = tmp_path / "moved"
    shutil.copytree(first, moved)
    second = train(tmp_path / "runs", f"init_from={moved}", "save_ckpt_every_n_epochs=1")
    before = losses(second)
    shutil.rmtree(moved)
    shutil.rmtree(second / "checkpoints/4")
    train(tmp_path / "runs", f"init_from={moved}", "save_ckpt_every_n_epochs=1")
    assert losses(second) == before


def test_a_damaged_newest_checkpoint_is_passed_over(first, tmp_path, caplog):
    source = tmp_path / "source"
    shutil.copytree(first, source)
    newest = source / "checkpoints/4"
    for path in newest.rglob("d/*"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    second = train(tmp_path / "runs", *frozen(source))
    assert f"{newest} is damaged" in caplog.text
    assert newest.is_dir()
    jax.tree.map(
        np.testing.assert_array_equal,
        variables(second / "checkpoints/2"),
        variables(source / "checkpoints/2"),
    )
    shutil.rmtree(source / "checkpoints/2")
    with pytest.raises(UserError, match=r"All checkpoints in .* are damaged"):
        train(tmp_path / "other", *frozen(source))


def test_a_head_of_other_classes_starts_afresh_and_is_named(first, tmp_path, caplog):
    other = (
        "dataset.dataset_name=fake",
        "dataset.num_classes=3",
        "model.model_params.patches.size=4",
    )
    second = train(tmp_path, *frozen(first), *other)
    assert "Not taken from" in caplog.text
    assert "params/head/bias, params/head/kernel; they start afresh" in caplog.text
    ours, theirs = variables(second / "checkpoints/2"), variables(first / "checkpoints/4")
    assert ours["params"].pop("head")["kernel"].shape == (32, 3)
    del theirs["params"]["head"]
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


FAKE = ("dataset.dataset_name=fake", "model.model_params.patches.size=4")


@pytest.mark.parametrize("kind", ["run", "checkpoint", "weights"])
def test_a_head_of_as_many_other_classes_starts_afresh_and_is_named(first, tmp_path, caplog, kind):
    origin = {"run": first, "checkpoint": first / "checkpoints/4"}.get(kind)
    if origin is None:
        origin = tmp_path / "weights.npz"
        save_weights(origin, weights_of_run(first))
    second = train(tmp_path / "runs", *frozen(origin), *FAKE)
    said = "other classes (class 0 is '0' there and 'class 0' here): params/head/bias, params/head"
    assert said in caplog.text
    ours, theirs = variables(second / "checkpoints/2"), variables(first / "checkpoints/4")
    kernels = [tree["params"].pop("head")["kernel"] for tree in (ours, theirs)]
    assert kernels[0].shape == kernels[1].shape
    assert not np.array_equal(*kernels)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize(
    ("theirs", "difference"),
    [
        (["a", "b"], ""),
        (None, ""),
        (["b", "a"], "the same in another order: class 0 is 'b' there and 'a' here"),
        (["a", "c"], "class 1 is 'c' there and 'b' here"),
        (["a", "b", "c"], "3 there and 2 here"),
    ],
)
def test_how_classes_differ(theirs, difference):
    assert init_from.class_difference(theirs, ("a", "b")) == difference


def test_other_classes_are_refused_if_there_is_no_head_to_start_afresh(first):
    class Headless(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(10)(x.reshape(len(x), -1))

    source = types.SimpleNamespace(image_shape=(8, 8, 1), class_names=list("abcdefghij"))
    start_from = init_from.starting_point(str(first), "", Headless(), source)
    with pytest.raises(UserError, match=r"other classes \(class 0 is '0' there and 'a' here\)"):
        start_from({"params": {}, "batch_stats": {}})


def test_a_run_measured_by_its_averages_passes_them_on(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="gnp")
    averaging = ("ema_decay=0.9", "best_metric=eval_ema/error_rate")
    first = train(tmp_path / "first", *averaging)
    second = train(tmp_path / "second", *frozen(first))
    assert f"Starting from the moving averages of {first}" in caplog.text
    averages = read_variables(first / "checkpoints/4", ema=True)
    jax.tree.map(np.testing.assert_array_equal, variables(second / "checkpoints/2"), averages)
    jax.tree.map(
        np.testing.assert_array_equal, weights_of_run(first).variables["params"], averages["params"]
    )
    assert "These are the moving averages, as best_metric is eval_ema/error_rate." in caplog.text


def test_which_weights_is_a_choice(tmp_path, caplog):
    first = train(tmp_path / "first", "ema_decay=0.9")
    for which in ("raw", "ema"):
        second = train(tmp_path / which, *frozen(first), f"init_from_weights={which}")
        jax.tree.map(
            np.testing.assert_array_equal,
            variables(second / "checkpoints/2"),
            read_variables(first / "checkpoints/4", ema=which == "ema"),
        )


def test_a_choice_that_is_not_there_is_refused(first, tmp_path):
    with pytest.raises(UserError, match="holds no moving average of the parameters"):
        train(tmp_path, f"init_from={first}", "init_from_weights=ema")
    save_weights(tmp_path / "weights.npz", weights_of_run(first))
    with pytest.raises(
        UserError, match=r"weights\.npz holds one set of weights; leave init_from_w"
    ):
        train(tmp_path, f"init_from={tmp_path / 'weights.npz'}", "init_from_weights=raw")
    with pytest.raises(UserError, match=r"^Unknown init_from_weights 'best'"):
        train(tmp_path, f"init_from={first}", "init_from_weights=best")


def test_positions_and_patches_are_resized_and_that_is_said(first, tmp_path, caplog):
    smaller = ("model.model_params.patches.size=2",)
    second = train(tmp_path, *frozen(first), *smaller)
    said = "Resized, from (1, 5, 32) to (1, 17, 32): params/pos_embed of"
    assert said in caplog.text
    assert "Resized, from (4, 4, 1, 32) to (2, 2, 1, 32): params/patch_embed/kernel" in caplog.text
    ours, theirs = variables(second / "checkpoints/2"), variables(first / "checkpoints/4")
    for name in ("blocks", "head", "norm", "cls_token"):
        jax.tree.map(np.testing.assert_array_equal, ours["params"][name], theirs["params"][name])


def test_scanned_layers_start_from_unrolled_ones(first, tmp_path):
    second = train(tmp_path, *frozen(first), "model.model_params.scan_layers=True")
    (unrolled, scanned) = (variables(find_checkpoints(run)[-1]) for run in (first, second))
    for index in "01":
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.tree.map(lambda x: x[int(index)], scanned["params"]["blocks"]["scanned"]),
            unrolled["params"]["blocks"][index],
        )


@pytest.mark.parametrize(
    ("init_from", "sentence"),
    [
        ("nowhere", "init_from names nowhere, which does not exist; name a run's folder"),
        ("tests", "tests holds no checkpoint; name the folder of a run"),
        ("README.md", "README.md is not a file of weights"),
    ],
)
def test_what_holds_no_parameters_is_refused(tmp_path, init_from, sentence):
    with pytest.raises(UserError, match=f"^{sentence}") as error:
        train(tmp_path, f"init_from={init_from}")
    assert "\n" not in str(error.value)


def test_another_model_is_refused_by_its_first_difference(first, tmp_path):
    with pytest.raises(
        UserError, match=r"of another model: params/\S+ is \(.*\) there and"
    ) as error:
        train(tmp_path, f"init_from={first}", "model.model_params.hidden_size=16")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
