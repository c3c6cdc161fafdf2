"""A whole run: what it leaves behind, and that stopping and resuming changes nothing."""

import json
import signal

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from config import digits
from gnp.ds_pipeline.build import build_source
from gnp.errors import UserError
from gnp.runs.metrics import read_metrics
from gnp.training.checkpoints.checkpoint_files import read_position
from gnp.training.interrupt import Interrupted
from gnp.training.loop import train
from gnp.training.settings.run import read_settings
from tests.training.interruptions import DyingSource, InterruptedSource, stop_after
from tests.training.toy import ToyModel, ToySource, train_toy


def run(folder, source=None, **overrides):
    return train_toy(folder, source, ToyModel(dropout_rate=0.3), **overrides)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run(folder)
    return read_metrics(folder / "metrics.jsonl")


@pytest.mark.pictures
def test_leaves_summary_metrics_curves_events_and_checkpoints(tmp_path):
    summary = run(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["steps"] == 12
    assert summary["final"]["eval/num_images"] == 21
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").iterdir())
    assert (tmp_path / "checkpoints" / "12").is_dir()


def test_every_step_and_epoch_is_in_the_metrics_once(uninterrupted):
    assert [m["step"] for m in uninterrupted if "train/loss" in m] == list(range(1, 13))
    assert [m["step"] for m in uninterrupted if "eval/loss" in m] == [4, 8, 12]
    assert all(np.isfinite(list(m.values())).all() for m in uninterrupted)


def test_two_runs_are_equal_to_the_last_digit(tmp_path, uninterrupted):
    run(tmp_path)
    assert read_metrics(tmp_path / "metrics.jsonl") == uninterrupted


@pytest.mark.usefixtures("_compile_fast")
@pytest.mark.parametrize(
    "form",
    [
        {"gnp.mode": "exact"},
        {"gnp.ascent": "random"},
        {"gnp.ascent": "adaptive", "gnp.ascent_steps": 2},
        {"gnp.surrogate_gap": 0.3, "gnp.norm_perturbations": True},
        {"gnp.every": 2, "gnp.reuse": 0.7},
        {"gnp.when.steep": True},
        {"gnp.shrink_r_below": 2.0},
        {"gnp.ascent": "momentum", "gnp.alpha": 1.0, "gnp.when.last_epoch": 2},
        {
            "gnp.ascent": "friendly",
            "gnp.perturb": ("Dense*",),
            "gnp.ascent_share": 0.5,
        },
        {"gnp.perturbation_batch": 2, "gnp.bn_policy": "both"},
        {"gradient_accumulation_steps": 2, "gnp.sync_perturbations": True},
        {
            "regularization.input_gradient.strength": 0.1,
            "regularization.weight.threshold.limits": (("Dense_0/kernel", 0.2, "elements"),),
        },
    ],
    ids=str,
)
def test_every_form_of_the_penalty_trains_and_resumes(tmp_path, form, monkeypatch):
    run(tmp_path / "whole", **form)
    stop_after(5, monkeypatch)  # what LookSAM remembers is used in the next step
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", **form)
    run(tmp_path / "stopped", **form)
    folders = tmp_path / "whole", tmp_path / "stopped"
    whole, stopped = (read_metrics(folder / "metrics.jsonl") for folder in folders)
    assert stopped == whole
    # The whole state is the same to the last bit, and so what an ascent remembers.
    positions = [read_position(folder / "checkpoints" / "12") for folder in folders]
    assert positions[0]["fingerprint"] == positions[1]["fingerprint"]
    # The perturbed pass sees all images of a batch in every form.
    losses = [m.get("train/perturbed_loss", m["train/loss"]) for m in whole if "train/loss" in m]
    assert len(losses) == 12
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


@pytest.mark.parametrize("step", [1, 3, 4, 8, 12])
def test_terminated_run_resumes_and_ends_the_same(tmp_path, uninterrupted, step, monkeypatch):
    stop_after(step, monkeypatch)
    with pytest.raises(Interrupted, match=f"step {step} of 12"):
        run(tmp_path)
    run(tmp_path)
    assert read_metrics(tmp_path / "metrics.jsonl") == uninterrupted


@pytest.mark.parametrize("before_batch", [0, 6, 8])
def test_crashed_run_resumes_and_ends_the_same(tmp_path, uninterrupted, before_batch):
    with pytest.raises(OSError, match="disk"):
        run(tmp_path, DyingSource(before_batch=before_batch))
    run(tmp_path)
    assert read_metrics(tmp_path / "metrics.jsonl") == uninterrupted


def test_evaluation_made_after_the_stop_is_recorded_once(tmp_path, uninterrupted, monkeypatch):
    stop_after(4, monkeypatch)
    with pytest.raises(Interrupted, match="step 4 of 12"):
        run(tmp_path)
    with pytest.raises(OSError, match="disk"):
        run(tmp_path, DyingSource(before_batch=0))
    run(tmp_path)
    assert read_metrics(tmp_path / "metrics.jsonl") == uninterrupted


def test_the_best_is_kept_though_the_run_was_stopped_before_its_evaluation(tmp_path, monkeypatch):
    overrides = {"total_epochs": 4, "keep_latest_checkpoints": 1, "base_lr": 3.0}
    best = []
    for folder in (tmp_path / "whole", tmp_path / "stopped"):
        if folder.name == "stopped":
            stop_after(best[0], monkeypatch)
            with pytest.raises(Interrupted):
                run(folder, **overrides)
        best.append(run(folder, **overrides)["best"]["step"])
        kept = {int(path.name) for path in (folder / "checkpoints").iterdir()}
        assert kept == {best[-1], 16}
        assert (folder / "checkpoints" / str(best[-1]) / "metrics").exists()
    assert best[0] == best[1] < 16


@pytest.mark.parametrize("strategy", ["r", "lambda", "zero"])
def test_crashed_run_with_warmup_and_hybrid_steps_ends_the_same(tmp_path, strategy):
    overrides = {
        "gr_warmup_strategy": strategy,
        "warmup_epochs": 1,
        "use_hybrid_training": True,
        "hybrid_config.p": 0.7,
    }
    folders = tmp_path / "whole", tmp_path / "crashed"
    run(folders[0], **overrides)
    with pytest.raises(OSError, match="disk"):
        run(folders[1], DyingSource(before_batch=6), **overrides)
    run(folders[1], **overrides)
    whole, crashed = (read_metrics(folder / "metrics.jsonl") for folder in folders)
    assert whole == crashed
    assert {"train/perturbed_loss" in line for line in whole if "train/loss" in line} == {
        True,
        False,
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signal_saves_and_the_exit_code_tells_it(tmp_path, uninterrupted, number):
    with pytest.raises(Interrupted) as caught:
        run(tmp_path, InterruptedSource(before_batch=5, number=number))
    assert caught.value.code == 128 + number
    assert "resumes" in str(caught.value)
    run(tmp_path)
    assert read_metrics(tmp_path / "metrics.jsonl") == uninterrupted


def test_stop_that_could_not_be_saved_says_so_and_loses_no_more(
    tmp_path, uninterrupted, monkeypatch
):
    stop_after(7, monkeypatch)
    with monkeypatch.context() as patch:
        save = ocp.CheckpointManager.save

        def fail_from_step_5_on(manager, step, **kwargs):
            if step >= 5:
                raise OSError(28, "No space left on device")
            return save(manager, step, **kwargs)

        patch.setattr(ocp.CheckpointManager, "save", fail_from_step_5_on)
        with pytest.raises(Interrupted) as caught:
            run(tmp_path)
    assert "it could not be saved. The same command resumes from step 4." in str(caught.value)
    run(tmp_path)
    assert read_metrics(tmp_path / "metrics.jsonl") == uninterrupted


def test_saves_by_steps_hold_the_evaluation_where_an_epoch_ends(tmp_path):
    run(
        tmp_path,
        save_ckpt_every_n_epochs=100,
        save_ckpt_every_n_steps=2,
        keep_latest_checkpoints=100,
    )
    steps = {int(path.name): path for path in (tmp_path / "checkpoints").iterdir()}
    assert sorted(steps) == [2, 4, 6, 8, 10, 12]
    assert [step for step, path in sorted(steps.items()) if (path / "metrics").exists()] == [
        4,
        8,
        12,
    ]


def test_exit_code_may_be_chosen(tmp_path):
    with pytest.raises(Interrupted) as caught:
        run(tmp_path, InterruptedSource(before_batch=5), interrupt_exit_code=75)
    assert caught.value.code == 75


def test_finished_run_started_again_keeps_its_results(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path)
    assert again == first


def test_batch_larger_than_the_training_set_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"batch_size is 128.*70 images"):
        run(tmp_path, ToySource(batch_size=128), batch_size=128)


def test_evaluation_that_misses_images_is_an_error(tmp_path):
    source = ToySource()
    source.num_eval_images += 1
    with pytest.raises(RuntimeError, match=r"counted 21 images.*22"):
        run(tmp_path, source)


def test_data_on_the_device_train_as_data_from_the_host_do(tmp_path):
    losses = []
    for loader in ("tfdata", "device"):
        config = digits.get_config()
        config.total_epochs = 1
        config.dataset.loader = loader
        config.dataset.batch_level_augmentations = "mixup"
        source = build_source(config, process_index=0, process_count=1)
        (tmp_path / loader).mkdir()
        settings = read_settings(config, num_devices=jax.device_count())
        train(settings, model=ToyModel(num_outputs=10), source=source, folder=tmp_path / loader)
        metrics = read_metrics(tmp_path / loader / "metrics.jsonl")
        losses.append([m["train/loss"] for m in metrics[:-1]] + [metrics[-1]["eval/loss"]])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_the_number_of_devices_changes_nothing_where_nothing_depends_on_it(tmp_path, monkeypatch):
    """Without dropout and batch norm, and with one perturbation for the whole batch."""
    all_devices = jax.devices()
    losses = []
    for devices in (1, 2, 4):
        monkeypatch.setattr(jax, "devices", lambda *a, n=devices: all_devices[:n])
        monkeypatch.setattr(jax, "local_devices", lambda *a, n=devices: all_devices[:n])
        folder = tmp_path / str(devices)
        model = ToyModel(use_batch_norm=False)
        train_toy(folder, model=model, **{"gnp.perturbation_batch": 0})
        lines = read_metrics(folder / "metrics.jsonl")
        losses.append([line["train/loss"] for line in lines if "train/loss" in line])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-5)
