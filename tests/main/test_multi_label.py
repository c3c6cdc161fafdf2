"""A run whose images have any number of the classes: trained, evaluated, asked, and refused."""

import json
import pathlib

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

import gnp
from gnp.errors import UserError
from gnp.main import app, evaluate, inspect_data, predict
from gnp.main.config import load_config
from gnp.main.evaluate import evaluate_run, format_figures
from gnp.main.main import run as train
from gnp.main.sharpness import open_whole_set
from gnp.runs.metrics import read_metrics
from gnp.training.average_precision import average_precisions
from tests.main import test_processes

CLASSES = ["left", "right", "below"]
FIELDS = (
    "dataset.dataset_name=npz",
    "dataset.multi_label=True",
    "dataset.image_size=8",
    "loss=binary_cross_entropy",
    "best_metric=eval/map_error",
    "batch_size=16",
    "total_epochs=8",
    "base_lr=0.1",
    "model.model_name=SmallDropoutNet",
    f"modules={pathlib.Path(__file__).with_name('small_models.py')}",
)


def bright_places(count, seed):
    """Gray noise, brighter at the place of each of an image's classes."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, (count, 3))
    images = generator.integers(0, 200, (count, 8, 8), np.uint8)
    for image, (left, right, below) in zip(images, labels, strict=True):
        image[:4, :4] += np.uint8(40 * left)
        image[:4, 4:] += np.uint8(40 * right)
        image[4:] += np.uint8(40 * below)
    return images, labels


IMAGES, LABELS = bright_places(42, seed=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "places.npz"
    images, labels = bright_places(128, seed=0)
    arrays = {"train_image": images, "train_label": labels, "class_names": np.array(CLASSES)}
    np.savez(path, test_image=IMAGES, test_label=LABELS, **arrays)
    return path


def config_of(file, *fields):
    return load_config("config/digits.py", [*FIELDS, f"dataset.data_dir={file}", *fields])


@pytest.fixture(scope="module")
def folder(file, tmp_path_factory):
    return train(config_of(file), tmp_path_factory.mktemp("runs"))


def test_the_summary_names_the_precision(file, tmp_path, capsys):
    train(config_of(file, "total_epochs=1"), tmp_path)
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("Mean average")]
    (summary,) = tmp_path.rglob("summary.json")
    final = json.loads(summary.read_text())["final"]["eval/mean_average_precision"]
    assert line == f"Mean average precision {100 * final:.2f} %."


def call(module, *arguments):
    """Runs a command in this process."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        app.define(module.define_flags)
        rest = app._parse_flags(["command", *map(str, arguments)], "IMAGE")[1:]
        module.main(*[rest] if rest else [])


def test_it_learns_and_tells(folder):
    evaluations = [m for m in read_metrics(folder / "metrics.jsonl") if "eval/loss" in m]
    last = evaluations[-1]
    assert 0.8 < last["eval/mean_average_precision"] < 1
    assert 0 < last["eval/error_rate"] < 0.3
    assert last["eval/map_error"] == pytest.approx(1 - last["eval/mean_average_precision"])
    assert "eval/top_5_error_rate" not in last
    summary = json.loads((folder / "summary.json").read_text())
    best = min(evaluations, key=lambda m: m["eval/map_error"])
    at_best = [m for m in evaluations if m["step"] == summary["best"]["step"]]
    assert at_best[0]["eval/map_error"] == best["eval/map_error"]


def test_the_command_has_the_figures_of_training(folder):
    last = [m for m in read_metrics(folder / "metrics.jsonl") if "eval/loss" in m][-1]
    config = load_config(str(folder / "config.json"))
    figures = evaluate_run(folder, config, "last")
    for name in ("error_rate", "loss", "mean_average_precision"):
        assert figures[name] == pytest.approx(last[f"eval/{name}"], rel=1e-4)
    assert [c["images"] for c in figures["classes"]] == LABELS.sum(axis=0).tolist()
    found = gnp.load_run(folder, "last").predict(IMAGES[..., None]).probabilities
    expected = average_precisions(found, LABELS)
    np.testing.assert_allclose([c["average_precision"] for c in figures["classes"]], expected)
    assert [c["predicted"] for c in figures["classes"]] == (found > 0.5).sum(axis=0).tolist()
    _, whole_set = open_whole_set(folder, config, "last", "test")
    run = gnp.load_run(folder, "last")
    loss, error = whole_set.loss_and_error(run.variables["params"], run.variables["batch_stats"])
    assert loss == pytest.approx(figures["loss"], rel=1e-4)
    assert error == pytest.approx(figures["error_rate"], abs=1e-6)


def test_an_attack_raises_the_loss(folder):
    config = load_config(str(folder / "config.json"))
    attacked = evaluate_run(folder, config, "last", attack_radius=1.0)
    assert attacked["loss"] > evaluate_run(folder, config, "last")["loss"] + 0.1


def test_tables_have_precisions_in_the_place_of_confusions(folder, tmp_path, capsys):
    call(evaluate, f"--run={folder}", f"--out={tmp_path / 'out'}")
    text = capsys.readouterr().out
    assert "mean average precision (%)" in text
    assert "| average precision (%) | error (%) | predicted |" in text
    assert "calibration" not in text
    assert "predicted as" not in text
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["evaluation.json"]


def test_of_many_classes_the_table_has_those_of_least_precision():
    classes = [
        {"name": f"c{n}", "images": 1, "average_precision": p, "error_rate": 0.1, "predicted": 2}
        for n, p in enumerate([None, *np.linspace(0, 1, 30)])
    ]
    figures = {"num_images": 9, "step": 1, "loss": 0.5, "error_rate": 0.1, "classes": classes}
    figures["mean_average_precision"] = 0.5
    lines = format_figures(figures).splitlines()
    names = [line.split()[1] for line in lines if line.startswith("| c")]
    assert names == [f"c{n}" for n in range(1, 11)]


def test_each_class_has_a_probability_for_itself(folder, tmp_path, capsys):
    found = gnp.load_run(folder).predict(IMAGES[..., None])
    decisions = (found.probabilities > 0.5) == LABELS
    assert decisions.mean() > 0.7
    number = int(np.argmax(found.probabilities.sum(axis=1)))
    assert found.probabilities[number].sum() > 1.5
    Image.fromarray(IMAGES[number]).save(tmp_path / "all.png")
    call(predict, f"--run={folder}", tmp_path / "all.png")
    shares = [float(word) for word in capsys.readouterr().out.split() if word[0].isdigit()]
    np.testing.assert_allclose(shares, np.sort(100 * found.probabilities[number])[::-1], atol=0.06)


def test_the_data_are_shown(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inspect_data, "_SECONDS_MEASURED", 0.0)
    inspect_data.inspect(config_of(file), tmp_path / "data.png")
    named = ", ".join(f"{n} {c}" for n, c in zip(CLASSES, LABELS.sum(axis=0), strict=True))
    assert f"eval: 42 images ({named})" in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_rank_all_images_as_one_does(file, tmp_path):
    fields = (*FIELDS, f"dataset.data_dir={file}", "dataset.num_train_images=0", "total_epochs=1")
    flags = [f"--config.{field}" for field in (*fields, "gnp.perturbation_batch=4")]
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        started = test_processes.start(folder, flags, processes=processes, devices=4 // processes)
        codes, output = test_processes.finish(started)
        assert codes == [0] * processes, output
        found.append(test_processes.metrics_in(folder)[-1])
    one, two = found
    assert one["eval/num_images"] == two["eval/num_images"] == 42
    assert two["eval/mean_average_precision"] == pytest.approx(one["eval/mean_average_precision"])
    assert two["eval/error_rate"] == pytest.approx(one["eval/error_rate"])


def test_one_class_per_image_may_be_learnt_as_yes_or_no(tmp_path):
    fields = (*FIELDS[6:], "loss=binary_cross_entropy", "dataset.num_train_images=64")
    config = load_config("config/digits.py", [*fields, "total_epochs=1", "label_smoothing=0.1"])
    run = gnp.load_run(train(config, tmp_path))
    figures = evaluate_run(run.folder, run.config, "last")
    assert "confusion" in figures
    assert not np.allclose(run.predict(np.zeros((1, 8, 8, 1), np.uint8)).probabilities.sum(), 1)


REFUSED = {
    "loss=cross_entropy": "loss is cross_entropy, which is for one class per image",
    "loss=focal": "loss is focal, which is for one class per image",
    "label_smoothing=0.1": "label_smoothing is 0.1, which takes from the one class",
    "compute_top_5_error_rate=True": "compute_top_5_error_rate is True, but with",
    "dataset.label_noise=0.1": "dataset.label_noise is 0.1, but with dataset.multi_label",
    "dataset.class_weights=balanced": "dataset.class_weights is 'balanced', but with",
    "dataset.sampling=balanced": "dataset.sampling is 'balanced', but with",
    "best_metric=eval/mean_average_precision": "Unknown best_metric 'eval/mean_average_precision'",
    "dataset.multi_label=False": "Unknown best_metric 'eval/map_error'",
    "distill.run=runs": "distill.run compares probabilities",
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_does_not_go_together_writes_nothing(field, file, tmp_path):
    with pytest.raises(UserError) as error:
        train(config_of(file, field), tmp_path / "runs")
    assert str(error.value).startswith(REFUSED[field])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_rows_without_the_field_and_bad_rows_write_nothing(file, tmp_path):
    with np.load(file) as content:
        arrays = dict(content)
    np.savez(tmp_path / "bad.npz", **(arrays | {"test_label": 2 * arrays["test_label"]}))
    for config, sentence in (
        (config_of(file, "dataset.multi_label=False", "best_metric=eval/loss"), "multi_label is F"),
        (config_of(tmp_path / "bad.npz"), "give a row with 0 or 1 for each class"),
    ):
        with pytest.raises(UserError, match=sentence):
            train(config, tmp_path / "runs")
        assert not (tmp_path / "runs").exists()
