"""What training records about its health."""

import logging

import numpy as np
import pytest

from gnp.runs.metrics import read_metrics
from gnp.training.interrupt import Interrupted
from gnp.training.monitoring.health import Health
from tests.training.interruptions import stop_after
from tests.training.toy import ToyModel, ToySource, toy_settings, train_toy

LAYERS = ("BatchNorm_0", "Dense_0", "Dense_1")


class SpikySource(ToySource):
    """Some batches are a hundred times brighter."""

    def __init__(self, *bright_steps):
        super().__init__(num_train_images=16 * 40)
        self._bright_steps = bright_steps

    def train_batches(self, epoch, first_step=0):
        for step, batch in enumerate(super().train_batches(epoch, first_step), first_step + 1):
            factor = 100 if step in self._bright_steps else 1
            yield batch | {"image": factor * batch["image"]}


def run(folder, *bright_steps, **overrides):
    source, model = SpikySource(*bright_steps), ToyModel(use_batch_norm=False)
    train_toy(folder, source, model, total_epochs=1, base_lr=1e-4, **overrides)
    return [line for line in read_metrics(folder / "metrics.jsonl") if "train/loss" in line]


def test_spikes_are_counted_and_each_is_told_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "gnp"):
        lines = run(tmp_path, 25, 26, 35)
    counts = [line["train/loss_spikes"] for line in lines]
    assert counts == [0] * 24 + [1] + [2] * 9 + [3] * 6
    told = [record.message for record in caplog.records if "robust" in record.message]
    assert len(told) == 2
    assert told[0].startswith("The loss of step 25 is ")
    assert "a smaller base_lr, a longer warmup_epochs" in told[0]


@pytest.mark.parametrize("stop", [25, 26, 30])
def test_a_resumed_run_finds_the_same(tmp_path, caplog, monkeypatch, stop):
    stop_after(stop, monkeypatch)
    with caplog.at_level(logging.WARNING, "gnp"):
        with pytest.raises(Interrupted):
            run(tmp_path, 25, 26, 35)
        lines = run(tmp_path, 25, 26, 35)
    assert [line["train/loss_spikes"] for line in lines] == [0] * 24 + [1] + [2] * 9 + [3] * 6
    assert sum("robust" in record.message for record in caplog.records) == 2


@pytest.mark.parametrize("num_finite", [60, 300])
def test_losses_that_are_not_finite_take_no_place_in_what_is_remembered(num_finite):
    settings = toy_settings().logging
    losses = [1 + 0.01 * (i % 5) for i in range(num_finite)] + [np.nan] * 90 + [1.0] * 5
    whole, lines = Health(settings, {}, []), []
    for step, loss in enumerate(losses, 1):
        lines.append({"step": step, "train/loss": loss})
        lines[-1] |= whole.extras(step, {"train/loss": loss}, None)
    resumed = Health(settings, {}, lines)
    found = [
        health.extras(len(losses) + 1, {"train/loss": 3.0}, None) for health in (whole, resumed)
    ]
    assert found == [{"train/loss_spikes": 1}] * 2


def test_spike_detection_can_be_switched_off(tmp_path):
    lines = run(tmp_path, 25, **{"logging.loss_spike_threshold": 0.0})
    assert not any("train/loss_spikes" in line for line in lines)


def test_layers_are_recorded_every_n_steps_and_add_up_to_the_whole(tmp_path):
    train_toy(tmp_path, **{"logging.layer_norms_every": 3, "gradient_clipping": 0.1})
    lines = [m for m in read_metrics(tmp_path / "metrics.jsonl") if "train/loss" in m]
    names = {f"train/layer_gradient_norm/{layer}" for layer in LAYERS}
    for line in lines:
        found = {name: value for name, value in line.items() if "layer_gradient" in name}
        assert set(found) == (names if line["step"] % 3 == 0 else set())
        if found:
            total = np.linalg.norm(list(found.values()))
            assert total == pytest.approx(line["train/gradient_norm_mixed"], rel=1e-5)


def test_old_records_without_counts_are_no_obstacle():
    settings = toy_settings().logging
    params = {"a": {"kernel": np.ones(1)}}
    health = Health(settings, params, [{"step": 1, "train/loss": 1.0}])
    assert health.extras(2, {"train/loss": 1.0}, None) == {"train/loss_spikes": 0}
