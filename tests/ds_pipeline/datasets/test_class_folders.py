"""Which files of a folder are images of which class, and what is said about the others."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from config import base
from gnp.ds_pipeline.build import build_source, load_data
from gnp.errors import UserError

CLASSES = ("a", "b")
RUN = {"normalization": ((0.5,) * 3, (0.5,) * 3), "evaluate_as": ["a", "b", "c"]}


def write_images(folder, names=("0.png", "1.png", "2.png", "3.png"), image_format="PNG"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (12, 12), "gray").save(folder / name, image_format)


@pytest.fixture
def root(tmp_path):
    for part in ("train", "val"):
        for name in CLASSES:
            write_images(tmp_path / part / name)
    return tmp_path


def make_config(root, kind="image_folder", *, use_test_set=True, **dataset):
    config = base.get_config()
    config.batch_size = 4
    config.use_test_set = use_test_set
    config.dataset.update(
        {"dataset_name": kind, "data_dir": str(root), "image_size": 12, "num_classes": 2} | dataset
    )
    config.imagenet_train_dir, config.imagenet_val_dir = str(root / "train"), str(root / "val")
    return config


def sizes(root, **fields):
    data = load_data(make_config(root, **fields))
    return len(data.train), len(data.test)


ENDINGS = {
    "photo.jfif": "JPEG",
    "photo.JPE": "JPEG",
    "scan.jp2": "JPEG2000",
    "new.avif": "AVIF",
    "game.tga": "TGA",
    "no ending": "JPEG",
    "12345.unheard-of": "WEBP",
    "photo.jpg.download": "PNG",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_images_are_known_by_their_content(root, name, caplog):
    write_images(root / "train" / "a", [name], ENDINGS[name])
    assert sizes(root) == (9, 8)
    assert "passed over" not in caplog.text
    source = build_source(make_config(root))
    assert source.num_train_images == 9


def test_what_is_passed_over_is_counted(root, caplog):
    folder = root / "train" / "a"
    for name in ("notes.txt", "more.TXT", "photo.heic", "LICENSE", ".DS_Store"):
        (folder / name).write_bytes(b"no image that is known")
    write_images(folder / "2024")
    write_images(root / "train" / "b" / "x" / "y", ["1.png"])
    write_images(root / "train", ["loose.png"])
    os.mkfifo(folder / "pipe.png")
    assert sizes(root) == (8, 8)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{root}/train (dataset.data_dir): 12 files passed over: ")
    for part in (
        "2 .txt",
        "1 .heic",
        "1 hidden",
        "1 not regular files",
        "1 outside",
        "1 without an ending",
    ):
        assert part in line
    assert "5 in nested folders (dataset.recursive=True reads them)" in line


def test_many_kinds_are_one_line(root, caplog):
    for number in range(50):
        (root / "train" / "a" / f"file.x{number}").write_bytes(b"?")
    assert sizes(root) == (8, 8)
    assert caplog.text.count("\n") == 1
    assert "50 files passed over: 1 .x" in caplog.text
    assert "42 others" in caplog.text


@pytest.mark.parametrize("kind", ["image_folder", "imagenet"])
def test_nested_folders_are_read_if_asked_for(root, kind, caplog):
    for part in ("train", "val"):
        write_images(root / part / "a" / "2024" / "may", ["0.png", "1.png"])
        write_images(root / part / "b" / ".thumbnails", ["0.png"])
    assert sizes(root, kind=kind) == (8, 8)
    assert caplog.text.count("2 in nested folders") == 2
    caplog.clear()
    assert sizes(root, kind=kind, recursive=True) == (10, 10)
    assert "in nested folders" not in caplog.text
    assert caplog.text.count("1 hidden") == 2


def test_links_in_circles_end(root):
    (root / "train" / "a" / "up").symlink_to(root / "train" / "a")
    (root / "train" / "a" / "self").symlink_to(root / "train" / "a" / "self")
    (root / "train" / "self").symlink_to(root / "train" / "self")
    assert sizes(root, recursive=True) == (8, 8)


def test_a_linked_folder_is_read(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_images(elsewhere)
    (root / "train" / "a" / "more").symlink_to(elsewhere)
    assert sizes(root, recursive=True) == (12, 8)


def test_a_class_of_nested_images_alone_says_how_to_read_them(root):
    write_images(root / "train" / "c" / "2024")
    with pytest.raises(UserError, match=r"train/c .* has no images; .* or dataset\.recursive=True"):
        load_data(make_config(root))
    assert sizes(root, recursive=True) == (12, 8)


@pytest.mark.parametrize("kind", ["image_folder", "imagenet"])
def test_holding_out_needs_no_other_folder(root, kind):
    write_images(root / "train" / "a", [f"{number}.png" for number in range(6)])
    shutil.rmtree(root / "val")
    config = make_config(root, kind, use_test_set=False)
    config.imagenet_val_dir = ""
    source = build_source(config)
    assert (source.num_train_images, source.num_eval_images) == (9, 1)


@pytest.mark.parametrize("kind", ["image_folder", "imagenet"])
@pytest.mark.parametrize("train_dir", ["", "gone"])
def test_evaluation_needs_no_training_folder(root, kind, train_dir):
    (root / "val" / "b").rename(root / "val" / "c")
    shutil.rmtree(root / "train")
    config = make_config(root, kind, num_classes=3)
    config.imagenet_train_dir = train_dir and str(root / train_dir)
    source = build_source(config, **RUN)
    assert (source.num_train_images, source.num_eval_images) == (0, 8)
    assert source.class_names == ["a", "b", "c"]
    labels = np.concatenate([batch["label"] for batch in source.eval_batches()])
    assert labels.sum(0).tolist() == [4, 0, 4]
    for config.use_test_set in (True, False):
        assert build_source(config, **RUN).num_eval_images == 8
        missing = "train is not a folder|train_dir is empty|gone is not a"
        with pytest.raises(UserError, match=missing):
            build_source(config)


def test_a_class_that_the_run_lacks_is_named(root):
    shutil.rmtree(root / "train")
    write_images(root / "val" / "d")
    with pytest.raises(UserError, match="the class 'd', which the run was not trained with"):
        build_source(make_config(root, num_classes=3), **RUN)


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["valid"], "valid"),
        (["validation"], "validation"),
        (["test"], "test"),
        (["test", "validation"], "validation"),
        (["test", "val", "valid"], "val"),
    ],
)
def test_evaluation_folders_have_an_order(root, names, taken, caplog):
    shutil.rmtree(root / "val")
    for name in names:
        for label in CLASSES:
            write_images(root / name / label, ["0.png"])
    write_images(root / taken / "a", ["1.png"])
    assert sizes(root) == (8, 3)
    if len(names) > 1:
        assert f"; evaluating on {taken}." in caplog.text
    else:
        assert not caplog.text


def test_a_missing_evaluation_folder_is_said_with_what_is_there(root):
    (root / "val").rename(root / "Validate")
    sentence = (
        r"has no folder for evaluation: expected val \(or valid, validation, test\), found "
        r"Validate, train; add it, or set use_test_set=False"
    )
    with pytest.raises(UserError, match=sentence):
        load_data(make_config(root))


@pytest.mark.parametrize("kind", ["image_folder", "imagenet"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_class_without_test_images_is_named(root, kind, is_there, caplog):
    shutil.rmtree(root / "val" / "b")
    if is_there:
        (root / "val" / "b").mkdir()
    source = build_source(make_config(root, kind))
    assert source.num_eval_images == 4
    assert "1 of 2 classes have no image in the evaluation set: 'b'." in caplog.text


def test_a_class_that_a_subset_loses_is_named(caplog):
    config = base.get_config()
    config.batch_size = 2
    config.dataset.update(dataset_name="fake", num_classes=30, num_train_images=5)
    build_source(config)
    assert "of 30 classes have no image in the training set: " in caplog.text
    assert ", …." in caplog.text


@pytest.mark.parametrize("kind", ["image_folder", "imagenet"])
def test_an_evaluation_folder_without_images_is_refused(root, kind):
    for path in (root / "val").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"val .* has no images; expected JPEG"):
        build_source(make_config(root, kind))


@pytest.mark.parametrize("kind", ["image_folder", "imagenet"])
def test_one_class_is_refused(root, kind):
    for part in ("train", "val"):
        shutil.rmtree(root / part / "b")
    with pytest.raises(UserError, match="one class 'a'; a classifier needs images of at least two"):
        build_source(make_config(root, kind, num_classes=1))


def test_a_broken_image_without_an_ending_is_named(root):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG")
    (root / "train" / "a" / "cut").write_bytes(buffer.getvalue()[:700])
    with pytest.raises(UserError, match="a/cut cannot be used"):
        build_source(make_config(root))
