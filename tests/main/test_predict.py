"""The command that names the classes of image files."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from gnp.ds_pipeline.datasets.digits import load
from gnp.errors import SkippedError, UserError
from gnp.main import app, predict
from gnp.main.config import load_config
from gnp.main.evaluate import evaluate_run
from gnp.main.predict import find_files
from gnp.main.run import load_run
from tests.ds_pipeline.test_without_tensorflow import BLOCKED
from tests.test_quickstart import ROOT

DIGITS = load(None).test


def call(*arguments):
    """Runs the command in this process."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        app.define(predict.define_flags)
        predict.main(app._parse_flags(["predict", *map(str, arguments)], "IMAGE")[1:])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of digits as files, as they are and enlarged."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "more" / "deep").mkdir(parents=True)
    for number in range(6):
        picture = Image.fromarray(DIGITS.images[number, ..., 0])
        picture.save(folder / f"{number}.png")
    picture.resize((80, 80)).convert("RGB").save(folder / "more" / "deep" / "large.jpg")
    picture.convert("RGBA").save(folder / "more" / "with alpha.webp", lossless=True)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_the_classes_are_those_of_the_evaluation(tiny_run):
    figures = evaluate_run(tiny_run, load_config(str(tiny_run / "config.json")), "best")
    run = load_run(tiny_run)
    classes = run.predict(DIGITS.images).classes
    wrong = [name != str(label) for name, label in zip(classes, DIGITS.labels, strict=True)]
    assert np.mean(wrong) == pytest.approx(figures["error_rate"])


def test_files_are_written_as_csv(tiny_run, images, tmp_path, capsys):
    call(images, f"--run={tiny_run}", "--top=3", f"--out={tmp_path / 'new' / 'p.csv'}")
    rows = list(csv.reader((tmp_path / "new" / "p.csv").open()))
    head = ["file", "class_1", "probability_1", "class_2", "probability_2", "class_3"]
    assert rows[0] == [*head, "probability_3"]
    names = [row[0].removeprefix(f"{images}/") for row in rows[1:]]
    assert names == [*(f"{n}.png" for n in range(6)), "more/deep/large.jpg", "more/with alpha.webp"]
    expected = load_run(tiny_run).predict(DIGITS.images[:6])
    for row, best in zip(rows[1:], expected.top(3), strict=False):
        assert row[1::2] == [name for name, _ in best]
        np.testing.assert_allclose(np.float64(row[2::2]), [p for _, p in best], rtol=1e-4)
    assert rows[-1][1:] == rows[6][1:]  # the alpha channel is opaque
    out = capsys.readouterr().out
    assert f"{images}/0.png" in out
    assert out.endswith(f"Predictions: {tmp_path / 'new' / 'p.csv'}\n")


def test_files_are_written_as_lines_of_json(tiny_run, images, tmp_path, capsys):
    out = tmp_path / "p.jsonl"
    for said in (f"Predictions: {out}\n", f"Predictions: {out}, in the place of an earlier file\n"):
        call(images / "0.png", f"--run={tiny_run}", "--top=100", f"--out={out}")
        assert capsys.readouterr().out.endswith(said)
    (line,) = map(json.loads, out.read_text().splitlines())
    assert line["file"] == str(images / "0.png")
    assert len(line["classes"]) == 10
    assert sum(each["probability"] for each in line["classes"]) == pytest.approx(1, abs=1e-4)


def test_an_unreadable_file_is_named_and_skipped(tiny_run, images, tmp_path, capsys):
    bad, empty = tmp_path / "bad.jpg", tmp_path / "empty.png"
    bad.write_bytes(b"\xff\xd8\xffno image")
    empty.touch()
    out = tmp_path / "out" / "p.csv"
    with pytest.raises(SkippedError, match="2 of 3 files were skipped; see above"):
        call(bad, images / "1.png", empty, f"--run={tiny_run}", f"--out={out}")
    errors = capsys.readouterr().err
    assert f"Skipped: {bad} cannot be used: it is not an image of a known format" in errors
    assert f"Skipped: {empty} cannot be used: the file is empty" in errors
    assert len(out.read_text().splitlines()) == 2


def test_where_no_file_can_be_used_nothing_is_written(tiny_run, tmp_path):
    (tmp_path / "bad.jpg").touch()
    with pytest.raises(UserError, match="None of the 1 files can be used"):
        call(tmp_path / "bad.jpg", f"--run={tiny_run}", f"--out={tmp_path / 'p.csv'}")
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out=p.csv"], "No image is named; name files or folders"),
        (["nowhere.png", "--out=p.csv"], "There is no nowhere.png; name image files, or folders"),
        (["0.png", "", "--out=p.csv"], "An argument is empty; name image files, or folders"),
        (["/dev/null", "--out=p.csv"], "/dev/null is no plain file; name image files, or folders"),
        (["empty", "--out=p.csv"], "empty has no images; expected JPEG, "),
        (["0.png", "--out=p.txt"], "--out is p.txt; name a file that ends with .csv or .jsonl"),
        (["0.png", "--out=folder.csv"], "which is a folder; name a file"),
        (["0.png", "--out=p.csv", "--checkpoint=7"], "Unknown checkpoint '7'"),
        (["0.png", "--out=p.csv", "--weights=ema"], "holds no moving average of the parameters"),
        (["0.png", "--out=p.csv", "--run=empty"], "holds no config.json; name the folder of a run"),
        (["0.png", "--out=p.csv", "--run="], "--run is missing"),
        (["0.png", "--out=p.csv", "--config.model.model_name=ViT_Micro"], "is of another model"),
        (["0.png", "--out=0.png/p.csv"], "cannot be created"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    tiny_run, images, tmp_path, monkeypatch, arguments, sentence
):
    shutil.copy(images / "0.png", tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        call(f"--run={tiny_run}", *arguments)
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "p.csv").exists()


def test_a_run_without_its_data_file_says_so(tiny_run, images, tmp_path):
    copy = shutil.copytree(tiny_run, tmp_path / "run")
    (copy / "data.json").unlink()
    with pytest.raises(UserError, match=r"has no data\.json, which names the classes"):
        call(images, f"--run={copy}")


def test_each_file_counts_once_whatever_its_name(images, tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff\n.png")
    shutil.copy(images / "0.png", odd)
    files = find_files([str(tmp_path), str(odd), f"{images}/more/../0.png"])
    assert files == [str(odd), f"{images}/more/../0.png"]


def test_odd_names_are_printed_and_written(tiny_run, images, tmp_path, capsys):
    odd = tmp_path / os.fsdecode(b"\xff\n,.png")
    shutil.copy(images / "0.png", odd)
    call(odd, f"--run={tiny_run}", f"--out={tmp_path / 'p.csv'}")
    assert r"\n,.png  " in capsys.readouterr().out
    (_, row) = csv.reader((tmp_path / "p.csv").open(newline=""))
    assert row[0].endswith("\ufffd\n,.png")


def test_many_files_are_listed_in_the_file_alone(tiny_run, images, tmp_path, capsys):
    for number in range(25):
        shutil.copy(images / "0.png", tmp_path / f"{number}.png")
    call(tmp_path, f"--run={tiny_run}", f"--out={tmp_path / 'p.csv'}")
    lines = capsys.readouterr().out.splitlines()
    assert lines[20] == "… and 5 more"
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 26
    call(tmp_path, f"--run={tiny_run}")
    assert len(capsys.readouterr().out.splitlines()) == 25


def test_a_model_that_computes_no_finite_numbers_predicts_nothing():
    predictions = [predict.Prediction("a.png", []), predict.Prediction("b.png", [("cat", 0.5)])]
    assert predict.lines(predictions, 2) == [
        "a.png  no prediction: the model computes no finite numbers",
        "b.png  cat 50.0 %",
    ]
    assert predict.as_csv(predictions).splitlines()[1:] == ["a.png,,", "b.png,cat,0.5"]
    assert json.loads(predict.as_json(predictions).splitlines()[0])["classes"] == []


def test_it_works_without_tensorflow_and_exits_with_1_after_a_bad_file(tiny_run, images, tmp_path):
    (tmp_path / "bad.png").touch()
    command = [sys.executable, "-c", BLOCKED, "gnp.main.predict", tmp_path, images / "0.png"]
    done = subprocess.run(
        [*command, f"--run={tiny_run}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.startswith(f"{images / '0.png'}  ")
    assert "bad.png cannot be used" in done.stderr
    assert done.stderr.endswith("1 of 2 files were skipped; see above.\n")
