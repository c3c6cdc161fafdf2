"""Training labels from a file."""

import numpy as np
import pytest
from PIL import Image

from config import base
from config import digits as digits_config
from gnp.ds_pipeline.build import build_source, load_data
from gnp.errors import UserError

COUNT = 1437


def digits(file):
    config = digits_config.get_config()
    config.dataset.train_labels = str(file)
    return config


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            path = tmp_path / "data" / part / name
            path.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (16, 16), (number * 60, 0, 90)).save(path / f"{number}.png")
                Image.new("RGB", (16, 16), (0, 9, 9)).save(path / f"{name}{number}.png")
    return tmp_path / "data"


def photos(folder, file):
    config = base.get_config()
    config.batch_size = 4
    config.dataset.update(
        dataset_name="image_folder",
        data_dir=str(folder),
        num_classes=2,
        image_size=16,
        train_labels=str(file),
    )
    return config


def written(path, *rows):
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_npy(tmp_path, kind):
    labels = np.arange(COUNT) % 10
    np.save(tmp_path / "labels.npy", labels.astype(kind))
    plain, data = load_data(digits("")), load_data(digits(tmp_path / "labels.npy"))
    np.testing.assert_array_equal(data.train.labels, labels)
    assert data.train.labels.dtype == np.int64
    np.testing.assert_array_equal(data.train.true_labels, plain.train.labels)
    np.testing.assert_array_equal(data.test.labels, plain.test.labels)
    source = build_source(digits(tmp_path / "labels.npy"))
    assert source.num_wrong_labels == (labels != plain.train.labels).sum()
    assert source.label_noise["file"] == str(tmp_path / "labels.npy")
    assert source.label_noise["kind"] == "file"


def test_csv_of_indices_in_any_order(tmp_path):
    order = np.random.default_rng(0).permutation(COUNT)
    rows = [f"{index},{index % 10}" for index in order]
    data = load_data(digits(written(tmp_path / "labels.csv", "index,label", *rows)))
    np.testing.assert_array_equal(data.train.labels, np.arange(COUNT) % 10)


# Files are sorted: cat/0, cat/1, cat/cat0, cat/cat1, dog/0, ...
LABELS = {
    "cat/0.png": "dog",
    "cat/1.png": "cat",
    "train/cat/cat0.png": "1",
    "cat1.png": "0",
    "./train/dog/0.png": "dog",
    "dog/1.png": " cat",
    "dog0.png": "0",
    "dog1.png": "1",
}


def test_csv_of_paths(folder, tmp_path):
    rows = [f"{path},{label}" for path, label in LABELS.items()]
    data = load_data(photos(folder, written(tmp_path / "labels.csv", "path,label", *rows)))
    np.testing.assert_array_equal(data.train.labels, [1, 0, 1, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(data.train.true_labels, [0] * 4 + [1] * 4)


@pytest.mark.parametrize("relative", [True, False])
def test_csv_of_the_paths_in_the_list_of_files(folder, tmp_path, monkeypatch, relative):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    root = "../data" if relative else str(folder)
    files = load_data(photos(root, "")).train.images
    rows = [f'"{path}",{place % 2}' for place, path in enumerate(files)]
    file = written(tmp_path / "labels.csv", "\ufeffpath,label", *rows)
    np.testing.assert_array_equal(load_data(photos(root, file)).train.labels, [0, 1] * 4)


def indices(*changes):
    """Rows of a good file, with some others behind them."""
    return ["index,label", *(f"{index},0" for index in range(COUNT)), *changes]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (indices()[:-1], "no label for 1 of 1437 training images, such as index 1436; add a row"),
        (indices("3,1"), "line 1439 names '3' again; name each image once"),
        (indices("1437,1"), "line 1439 has the index '1437', which is not one of 0 to 1436"),
        (["index,label", "-1,0"], "the index '-1'"),
        (["index,label", "0,eleven"], "unknown class 'eleven'; write a class name, or a number"),
        (["index,label", "0,10"], "unknown class '10'"),
        (["index,label", "0"], "line 2 has 1 values"),
        (["0,1"], "header is '0,1'; begin it with path,label or index,label"),
        ([""], "header is ''"),
        (["path,label", "a,1"], "no file per image; use the header index,label"),
    ],
)
def test_bad_csv_is_one_sentence(tmp_path, rows, message):
    file = written(tmp_path / "labels.csv", *rows)
    with pytest.raises(UserError, match=message) as error:
        load_data(digits(file))
    assert str(error.value).startswith(f"{file} (dataset.train_labels) cannot be used: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cat/0.png": "0.png"}, "'0.png', which matches several training images"),
        ({"cat/0.png": "cat/9.png"}, "'cat/9.png', which is not a training image"),
        ({"cat/0.png": "val/cat/0.png"}, "'val/cat/0.png', which is not a training image"),
        ({"cat/0.png": "/cat/0.png"}, "'/cat/0.png', which is not a training image"),
        ({"cat/0.png": ""}, "'', which is not a training image"),
        ({"cat/0.png": "train/cat/1.png"}, "line 3 names 'cat/1.png' again"),
        ({"cat/0.png": None}, r"no label for 1 of 8 .* such as .*train/cat/0\.png"),
    ],
)
def test_bad_paths_are_named(folder, tmp_path, change, message):
    rows = [(change.get(path, path), label) for path, label in LABELS.items()]
    rows = [f"{path},{label}" for path, label in rows if path is not None]
    file = written(tmp_path / "labels.csv", "path,label", *rows)
    with pytest.raises(UserError, match=message):
        load_data(photos(folder, file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(COUNT - 1, int), r"int64 of shape \(1436,\); save 1437 integers"),
        (np.zeros((COUNT, 10), int), r"int64 of shape \(1437, 10\)"),
        (np.zeros(COUNT), "it holds float64"),
        (np.arange(COUNT) - 1, "label 0 is -1; save numbers of classes, 0 to 9"),
        (np.arange(COUNT), "label 10 is 10"),
        (np.array([{"clean_label": 0}]), r"it is not a \.npy file"),
        (b"", r"it is not a \.npy file"),
        (b"PK\x03\x04 no zip", r"it is not a \.npy file"),
    ],
)
def test_bad_npy_is_one_sentence(tmp_path, content, message):
    file = tmp_path / "labels.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content, allow_pickle=True)
    with pytest.raises(UserError, match=message) as error:
        load_data(digits(file))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"index,label\n\xff\xfe,1\n")
    with pytest.raises(UserError, match="cannot be read"):
        load_data(digits(tmp_path / "labels.csv"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("labels.txt", r"expected a \.npy file of integers or a \.csv file"),
        ("nowhere.npy", "is not a file; name one with a label per training image"),
    ],
)
def test_what_is_no_file_of_labels_is_refused(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        load_data(digits(tmp_path / name))
