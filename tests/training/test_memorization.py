"""Images with wrong labels: how many of them a model memorizes."""

import jax
import numpy as np
import pytest

from config import digits
from gnp.ds_pipeline.build import build_source
from gnp.runs.metrics import read_metrics
from gnp.training import parallel
from gnp.training.evaluate import Evaluator
from gnp.training.loop import train
from gnp.training.settings.run import read_settings
from tests.training.toy import ToyModel

pytestmark = pytest.mark.usefixtures("_compile_fast")


def noisy_config(loader="tfdata", **overrides):
    config = digits.get_config()
    config.dataset.loader = loader
    config.dataset.label_noise = 0.4
    config.dataset.num_train_images = 320
    config.total_epochs = 2
    config.update_from_flattened_dict(overrides)
    return config


@pytest.mark.parametrize("loader", ["tfdata", "device"])
def test_the_share_of_wrong_labels_predicted_is_that_counted_by_hand(loader):
    config = noisy_config(loader)
    settings = read_settings(config, num_devices=jax.device_count())
    model = ToyModel(num_outputs=10)
    source = build_source(config)
    state = settings.initial_state(model, source.image_shape)
    device_data = parallel.replicate(source.device_data)
    evaluate = Evaluator(model, source, settings.evaluation)
    metrics = evaluate(parallel.replicate(state), device_data)
    metrics |= evaluate.on_training_set(parallel.replicate(state), device_data)

    found = {"label": [], "true_label": [], "is_wrong": []}
    for batch in source.train_label_batches():
        batch = source.prepare_eval(source.device_data, batch)
        real = np.asarray(batch["mask"]) > 0
        predicted = np.argmax(model.apply(state.variables, batch["image"], train=False), -1)
        given, true = (np.argmax(batch[name], -1) for name in ("label", "true_label"))
        for hits, values in zip(
            found.values(), (predicted == given, predicted == true, given != true), strict=True
        ):
            hits.append(values[real])
    given, true, is_wrong = (np.concatenate(hits) for hits in found.values())
    assert (len(given), is_wrong.sum()) == (320, source.num_wrong_labels)
    assert source.num_wrong_labels > 80
    assert metrics["noise/memorized"] == pytest.approx(given[is_wrong].mean())
    assert metrics["noise/true_error_rate"] == pytest.approx(1 - true[is_wrong].mean())
    assert metrics["noise/train_given_error_rate"] == pytest.approx(1 - given.mean())
    assert metrics["noise/train_true_error_rate"] == pytest.approx(1 - true.mean())


@pytest.mark.parametrize("stops_early", [False, True])
def test_a_run_records_it_only_where_labels_are_wrong(tmp_path, stops_early):
    for noise in (0.4, 0.0):
        config = noisy_config(**{"dataset.label_noise": noise})
        if stops_early:  # as it learns nothing
            config.update({"base_lr": 0.0, "total_epochs": 9, "early_stopping_patience": 1})
        folder = tmp_path / str(noise)
        folder.mkdir()
        summary = train(
            read_settings(config, num_devices=jax.device_count()),
            model=ToyModel(num_outputs=10),
            source=build_source(config),
            folder=folder,
        )
        lines = [m for m in read_metrics(folder / "metrics.jsonl") if "eval/loss" in m]
        assert 2 <= len(lines) < 9
        assert summary["stopped_early"] == stops_early
        assert all(("noise/memorized" in line) == (noise > 0) for line in lines)
        assert ("noise/memorized" in summary["final"]) == (noise > 0)
        of_all = "noise/train_given_error_rate", "noise/train_true_error_rate"
        assert all((name in summary["final"]) == (noise > 0) for name in of_all)
        assert not set(of_all) & lines[0].keys()  # at the end alone
