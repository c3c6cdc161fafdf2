"""The command that evaluates a run."""

import csv
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from gnp.diagnostics.classification import classification_figures
from gnp.ds_pipeline.build import filled_in
from gnp.errors import UserError
from gnp.main import app, evaluate
from gnp.main.config import load_config
from gnp.main.evaluate import evaluate_run, format_figures
from gnp.main.main import run
from gnp.main.saved.saved_run import load_run
from gnp.main.shown_images import evaluation_images
from gnp.runs.metrics import read_metrics
from gnp.training.checkpoints.checkpoint_files import read_position, with_fingerprint
from gnp.training.checkpoints.saved_variables import read_newest_variables, read_variables

TINY = (
    "dataset.num_train_images=128",
    "total_epochs=3",
    "save_ckpt_every_n_epochs=1",
    "model.model_name=ViT_Micro",
    "keep_latest_checkpoints=3",
    "ema_decay=0.5",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    working_dir = tmp_path_factory.mktemp("runs")
    run(load_config("config/digits.py", TINY), working_dir)
    return next(working_dir.rglob("summary.json")).parent


def settings_of(folder, *overrides):
    return load_config(str(folder / "config.json"), overrides)


def test_config_json_alone_gives_the_config_back(folder):
    assert settings_of(folder) == filled_in(load_config("config/digits.py", TINY))


def test_figures_are_those_of_training(folder):
    evaluations = [m for m in read_metrics(folder / "metrics.jsonl") if "eval/loss" in m]
    for metrics in evaluations:
        figures = evaluate_run(folder, settings_of(folder), str(metrics["step"]))
        assert figures["error_rate"] == pytest.approx(metrics["eval/error_rate"], abs=1e-6)
        assert figures["loss"] == pytest.approx(metrics["eval/loss"], rel=1e-4)
        assert figures["num_images"] == 360


def test_the_loss_of_the_run_is_named_beside_the_cross_entropy(folder, tmp_path):
    assert "trained_loss" not in evaluate_run(folder, settings_of(folder), "last")
    fields = "loss=focal", "label_smoothing=0.1", "total_epochs=1"
    focal = run(load_config("config/digits.py", [*TINY, *fields]), tmp_path)
    figures = evaluate_run(focal, settings_of(focal), "last", ema=True)
    last = read_metrics(focal / "metrics.jsonl")[-1]
    assert figures["trained_loss"] == pytest.approx(last["eval_ema/loss"], rel=1e-4)
    assert figures["raw"]["trained_loss"] == pytest.approx(last["eval/loss"], rel=1e-4)
    assert figures["loss"] != pytest.approx(figures["trained_loss"], rel=0.01)
    titles = [line.split("|")[1].strip() for line in format_figures(figures).splitlines()[2:6]]
    assert titles[2:] == ["cross entropy", "focal loss, labels smoothed"]


def test_best_and_last_are_found(folder):
    summary = json.loads((folder / "summary.json").read_text())
    best = evaluate_run(folder, settings_of(folder), "best")
    assert best["error_rate"] == pytest.approx(summary["best"]["eval/error_rate"], abs=1e-6)
    assert evaluate_run(folder, settings_of(folder), "last")["step"] == summary["steps"]


def test_an_attack_raises_the_loss(folder):
    clean, attacked = (
        evaluate_run(folder, settings_of(folder), "last", attack_radius=radius)
        for radius in (0.0, 0.5)
    )
    assert attacked["loss"] > clean["loss"] + 0.01
    assert (clean["attack_radius"], attacked["attack_radius"]) == (0.0, 0.5)


def test_moving_average_is_evaluated_beside_the_parameters(folder):
    last = read_metrics(folder / "metrics.jsonl")[-1]
    figures = evaluate_run(folder, settings_of(folder), "last", ema=True)
    assert figures["loss"] == pytest.approx(last["eval_ema/loss"], rel=1e-4)
    assert figures["raw"]["loss"] == pytest.approx(last["eval/loss"], rel=1e-4)
    assert figures["averaged"] == (6,)


def test_last_checkpoints_are_averaged(folder):
    states = [read_variables(folder / "checkpoints" / str(step)) for step in (4, 6)]
    run = load_run(folder, settings_of(folder), "average:2")
    assert run.averaged == (4, 6)
    expected = jax.tree.map(lambda a, b: (a.astype(float) + b) / 2, *states)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), run.state.variables, expected
    )
    figures = evaluate_run(folder, settings_of(folder), "average:2")
    assert figures["raw"]["loss"] == pytest.approx(
        evaluate_run(folder, settings_of(folder), "last")["loss"], rel=1e-6
    )
    assert figures["loss"] != figures["raw"]["loss"]


def test_average_of_one_checkpoint_is_that_checkpoint(folder):
    figures = evaluate_run(folder, settings_of(folder), "average:1")
    assert figures["loss"] == figures["raw"]["loss"]


@pytest.mark.parametrize("number", [0, 4])
def test_average_of_more_checkpoints_than_are_kept_is_refused(folder, number):
    with pytest.raises(UserError, match=f"last {number} checkpoints cannot be .* there are 3;"):
        evaluate_run(folder, settings_of(folder), f"average:{number}")


def test_run_without_a_moving_average_says_so(folder, tmp_path):
    settings = load_config("config/digits.py", [*TINY, "ema_decay=0", "total_epochs=1"])
    run(settings, tmp_path)
    (plain,) = (path.parent for path in tmp_path.rglob("summary.json"))
    with pytest.raises(UserError, match="holds no moving average of the parameters; train with"):
        evaluate_run(plain, settings, "last", ema=True)


def test_unknown_checkpoint_is_refused(folder):
    with pytest.raises(UserError, match="Unknown checkpoint '7'; known: "):
        evaluate_run(folder, settings_of(folder), "7")


@pytest.mark.parametrize("name", ["²", "average:²", "-4", "4.0", "04", "average:" + "9" * 5000])
def test_numbers_that_are_no_steps_are_refused(folder, name):
    with pytest.raises(UserError, match=r"Unknown checkpoint|cannot be averaged"):
        evaluate_run(folder, settings_of(folder), name)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "run")


def test_without_knowing_the_best_no_other_is_taken_for_it(copy):
    file = copy / "checkpoints" / "4" / "metrics" / "metrics"
    file.write_text(file.read_text().replace('"eval/loss": ', '"eval/loss": 1'))
    with pytest.raises(UserError, match=r"The best checkpoint cannot be told \(metrics/metrics is"):
        evaluate_run(copy, settings_of(copy), "best")
    assert evaluate_run(copy, settings_of(copy), "last")["step"] == 6


def test_where_the_best_is_gone_the_next_one_is_named(copy, caplog):
    by_loss = settings_of(copy, "best_metric=eval/loss")
    for settings in (by_loss, settings_of(copy)):
        best = evaluate_run(copy, settings, "best")["step"]
    assert not caplog.records
    position = read_position(copy / "checkpoints" / "6")
    write_position(copy / "checkpoints" / "6", position | {"best_step": 3, "best_value": 0.001})
    evaluate_run(copy, by_loss, "best")
    assert not caplog.records  # another metric than that of the run
    assert evaluate_run(copy, settings_of(copy), "best")["step"] == best
    assert "best evaluation was at step 3, of which there is no checkpoint" in caplog.text


def write_position(checkpoint, position):
    file = checkpoint / "position" / "metadata"
    file.write_text(json.dumps(with_fingerprint(position)))


def test_without_evaluations_the_last_is_taken_with_a_word(copy, caplog):
    for checkpoint in (copy / "checkpoints").iterdir():
        shutil.rmtree(checkpoint / "metrics")
        (checkpoint / "_CHECKPOINT_METADATA").unlink()
    assert evaluate_run(copy, settings_of(copy), "best")["step"] == 6
    assert "has an evaluation; taking the last one" in caplog.text


def test_a_run_that_lies_where_checkpoints_cannot_be_read_says_so(folder, tmp_path):
    odd = shutil.copytree(folder, tmp_path / os.fsdecode(b"\xff"))
    for checkpoint in ("last", "best", "average:2"):
        with pytest.raises(UserError, match=r"not UTF-8, so checkpoints cannot be .*; move the"):
            evaluate_run(odd, settings_of(odd), checkpoint)
    for path in (odd, odd / "checkpoints" / "6"):
        with pytest.raises(UserError, match=r"not UTF-8, so checkpoints cannot be .*; move"):
            read_newest_variables(path)


def test_other_model_is_refused(folder):
    other = settings_of(folder, "model.model_params.hidden_size=16")
    with pytest.raises(UserError, match="of another model or optimizer"):
        evaluate_run(folder, other, "last")


def test_folder_without_checkpoints_says_so(folder, tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        evaluate_run(pathlib.Path(tmp_path), settings_of(folder), "best")


def write_images(folder, brightness, names=("a", "b")):
    """Two classes of one test image each, the same in every folder, and training images."""
    for part, level in (("train", brightness), ("test", 100)):
        for number, name in enumerate(names):
            path = folder / part / name
            path.mkdir(parents=True)
            for shade in range(4 if part == "train" else 1):
                pixels = np.full((8, 8, 3), level + 40 * number + shade, np.uint8)
                Image.fromarray(pixels).save(path / f"{shade}.png")
    return folder


@pytest.fixture(scope="module")
def run_on_files(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    fields = (
        f"dataset.data_dir={write_images(root / 'own', 100)}",
        "dataset.num_classes=2",
        "dataset.image_size=8",
        "batch_size=8",
        "total_epochs=1",
        "model.model_name=NetToLookInto",
        f"model.model_module={pathlib.Path(__file__).with_name('small_models.py')}",
    )
    run(load_config("config/image_folder.py", fields), root / "runs")
    return next((root / "runs").rglob("summary.json")).parent


def test_other_images_are_normalized_as_those_of_the_run(run_on_files, tmp_path):
    other = write_images(tmp_path, 10)
    own, others = (
        evaluate_run(run_on_files, settings_of(run_on_files, *fields), "last")
        for fields in ((), (f"dataset.data_dir={other}",))
    )
    assert own["loss"] == others["loss"]


def test_other_classes_are_refused(run_on_files, tmp_path):
    other = write_images(tmp_path, 100, names=("a", "c"))
    settings = settings_of(run_on_files, f"dataset.data_dir={other}")
    with pytest.raises(UserError, match="Class 1 is 'c' in the data set, but the run was trained"):
        evaluate_run(run_on_files, settings, "last")


def test_another_number_of_classes_is_refused(run_on_files, tmp_path):
    other = write_images(tmp_path, 100, names=("a", "b", "c"))
    fields = (f"dataset.data_dir={other}", "dataset.num_classes=3")
    with pytest.raises(UserError, match="has 3 classes, but the run was trained with 2"):
        evaluate_run(run_on_files, settings_of(run_on_files, *fields), "last")


def test_a_damaged_checkpoint_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    for file in (tmp_path / "run" / "checkpoints" / "6").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:50])
    for checkpoint in ("last", "average:2"):
        with pytest.raises(UserError, match=r"Checkpoint 6 in .* cannot be read .*--checkpoint"):
            evaluate_run(tmp_path / "run", settings_of(tmp_path / "run"), checkpoint)


def call(*arguments):
    """Runs the command in this process."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        app.define(evaluate.define_flags)
        app._parse_flags(["evaluate", *map(str, arguments)])
        evaluate.main()


def test_the_command_prints_tables_and_writes_all_files(folder, tmp_path, capsys):
    call(f"--run={folder}", "--checkpoint=last", f"--out={tmp_path / 'new'}")
    out = capsys.readouterr().out
    assert out.startswith("| 360 images, step 6 ")
    figures = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert f"| error (%)          | {100 * figures['error_rate']:.2f} " in out
    assert figures["top_5_error_rate"] < figures["error_rate"]
    assert np.sum(figures["confusion"]) == 360
    rows = list(csv.DictReader((tmp_path / "new" / "misclassified.csv").open()))
    assert len(rows) == round(360 * figures["error_rate"])
    assert all(row["true"] != row["predicted"] and row["file"] == "" for row in rows)
    of_true = [float(row["probability_of_true"]) for row in rows]
    assert of_true == sorted(of_true)
    for name in ("confusion.png", "misclassified.png"):
        assert (tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG")


def test_averages_have_a_column_of_their_own(folder, capsys):
    call(f"--run={folder}", "--checkpoint=last", "--weights=ema")
    with_weights = capsys.readouterr().out
    assert "| averaged | not averaged |" in with_weights
    call(f"--run={folder}", "--checkpoint=last", "--ema")
    assert capsys.readouterr().out == with_weights
    with pytest.raises(UserError, match="--ema and --weights=raw contradict each other"):
        call(f"--run={folder}", "--ema", "--weights=raw")


def test_without_weights_those_that_the_best_metric_measures_are_evaluated(copy, capsys):
    file = copy / "config.json"
    config = json.loads(file.read_text()) | {"best_metric": "eval_ema/loss"}
    file.write_text(json.dumps(config))
    for arguments, is_averaged in (([], True), (["--weights=raw"], False)):
        call(f"--run={copy}", "--checkpoint=last", *arguments)
        assert ("not averaged" in capsys.readouterr().out) == is_averaged


def test_misclassified_files_are_named(run_on_files, tmp_path, capsys):
    """What is right with one name of a class is wrong with the other."""
    found = {}
    for swapped in (False, True):
        data = write_images(tmp_path / str(swapped), 100)
        if swapped:
            for name, new in (("a", "c"), ("b", "a"), ("c", "b")):
                (data / "test" / name).rename(data / "test" / new)
        out = tmp_path / "out"
        call(f"--run={run_on_files}", f"--config.dataset.data_dir={data}", f"--out={out}")
        rows = list(csv.DictReader((out / "misclassified.csv").open()))
        assert (out / "misclassified.png").exists() == bool(rows)  # no picture of earlier ones
        assert {row["file"] for row in rows} <= set(map(str, (data / "test").rglob("*.png")))
        found[swapped] = {(row["true"], row["predicted"]) for row in rows}
    assert len(found[False]) + len(found[True]) == 2
    assert "top-5" not in capsys.readouterr().out


@pytest.mark.parametrize("fields", [(), ("use_test_set=False",), ("dataset.on_bad_image=skip",)])
def test_a_folder_with_test_images_alone_is_enough(run_on_files, tmp_path, fields):
    other = write_images(tmp_path, 100)
    shutil.rmtree(other / "train")
    settings = settings_of(run_on_files, f"dataset.data_dir={other}", *fields)
    assert evaluate_run(run_on_files, settings, "last")["num_images"] == 2


def test_the_images_of_a_picture_are_those_of_their_numbers(folder):
    for loader in ("tfdata", "device"):
        run = load_run(folder, settings_of(folder, f"dataset.loader={loader}"), "last")
        images = run.source._data.test.images
        found = evaluation_images(run.source, [300, 2, 359])
        np.testing.assert_allclose(found * 255, images[[300, 2, 359]], atol=1e-3)


def test_many_classes_are_readable():
    count = 1000
    logits = np.random.default_rng(0).normal(size=(2 * count, count)).astype(np.float32)
    names = [f"class {n}" for n in range(count)]
    figures = classification_figures(logits, np.arange(2 * count) % count, names)
    text = format_figures(figures | {"step": 3})
    assert "worst of 1,000 classes" in text
    assert len(text) < 3000
    assert len(json.dumps(figures)) < 200 * count
