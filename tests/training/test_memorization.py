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

    batches = [source.prepare_eval(source.device_data, b) for b in source.wrong_label_batches()]
    found = {"label": [], "true_label": []}
    for batch in batches:
        logits = model.apply(state.variables, batch["image"], train=False)
        for name, hits in found.items():
            is_hit = np.argmax(logits, -1) == np.argmax(batch[name], -1)
            hits.append(is_hit[np.asarray(batch["mask"]) > 0])
    memorized, true = (np.concatenate(hits) for hits in found.values())
    assert len(memorized) == source.num_wrong_labels > 80
    assert metrics["noise/memorized"] == pytest.approx(memorized.mean())
    assert metrics["noise/true_error_rate"] == pytest.approx(1 - true.mean())


def test_a_run_records_it_only_where_labels_are_wrong(tmp_path):
    for noise in (0.4, 0.0):
        config = noisy_config(**{"dataset.label_noise": noise})
        folder = tmp_path / str(noise)
        folder.mkdir()
        summary = train(
            read_settings(config, num_devices=jax.device_count()),
            model=ToyModel(num_outputs=10),
            source=build_source(config),
            folder=folder,
        )
        lines = [m for m in read_metrics(folder / "metrics.jsonl") if "eval/loss" in m]
        assert len(lines) == 2
        assert all(("noise/memorized" in line) == (noise > 0) for line in lines)
        assert ("noise/memorized" in summary["final"]) == (noise > 0)
