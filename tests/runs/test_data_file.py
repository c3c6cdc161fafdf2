"""What a run's folder keeps of the data that it was trained on."""

import json

import pytest

from config import digits as digits_config
from gnp.ds_pipeline.build import build_source
from gnp.errors import UserError
from gnp.runs.data_file import (
    DATA_FILE,
    check_same_data,
    read_run_data,
    run_data_of,
    write_run_data,
)


def make_data(**dataset):
    config = digits_config.get_config()
    config.dataset.update(dataset)
    return run_data_of(build_source(config))


def test_it_is_read_as_it_was_written(tmp_path):
    data = make_data()
    write_run_data(tmp_path, data)
    assert read_run_data(tmp_path) == data
    assert (data.num_train_images, data.num_eval_images) == (1437, 360)
    assert data.train_fingerprint != data.eval_fingerprint
    assert "label_noise" not in json.loads((tmp_path / DATA_FILE).read_text())
    assert data.label_noise is None


def test_label_noise_is_recorded(tmp_path):
    config = digits_config.get_config()
    config.dataset.update(label_noise=0.2, label_noise_seed=5)
    source = build_source(config)
    write_run_data(tmp_path, run_data_of(source))
    noise = read_run_data(tmp_path).label_noise
    assert noise == source.label_noise
    assert (noise["kind"], noise["share"], noise["seed"]) == ("symmetric", 0.2, 5)
    assert noise["changed"] == sum(noise["changed_per_class"].values()) == source.num_wrong_labels


def test_files_of_older_versions_are_read(tmp_path):
    assert read_run_data(tmp_path) is None
    (tmp_path / DATA_FILE).write_text('{"class_names": ["a"], "mean": [0.5], "std": [0.2]}')
    data = read_run_data(tmp_path)
    assert data.class_names == ["a"]
    assert data.is_of_older_version
    assert not make_data().is_of_older_version


@pytest.mark.parametrize(
    "change",
    [
        {"std": None},
        {"std": [0.0]},
        {"std": [-1]},
        {"std": [0.1, 0.1]},
        {"mean": ["x"]},
        {"mean": {}},
        {"class_names": []},
        {"class_names": "ab"},
        {"class_names": [1, 2]},
        {"label_noise": 3},
        {"num_train_images": "many"},
        {"train_fingerprint": [1]},
        {"unknown": 1},
    ],
)
def test_a_damaged_file_is_named(tmp_path, change):
    content = {"class_names": ["a", "b"], "mean": [0.5], "std": [0.2]} | change
    (tmp_path / DATA_FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"data\.json is damaged"):
        read_run_data(tmp_path)


CHANGES = {
    "class_names": (["0", "1", "2"], "there are 3 classes now, 10 when it began"),
    "num_train_images": (1500, "the training set has 1500 images now, 1437 when it began"),
    "num_eval_images": (9, "the evaluation set has 9 images now, 360 when it began"),
    "train_fingerprint": ("x", "the training set has as many images, but others or with other"),
    "eval_fingerprint": ("x", "the evaluation set has as many images, but others or with other"),
    "label_noise": ({"share": 0.1}, r"label noise is \{'share': 0.1\} now, None when it began"),
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_change_is_said(tmp_path, field):
    data = make_data()
    value, sentence = CHANGES[field]
    with pytest.raises(UserError, match=sentence):
        check_same_data(tmp_path, data, data._replace(**{field: value}))
    check_same_data(tmp_path, data, data)


def test_the_first_other_class_is_named(tmp_path):
    data = make_data()
    names = ["0", "one", *data.class_names[2:]]
    with pytest.raises(UserError, match="class 1 is 'one' now, '1' when it began"):
        check_same_data(tmp_path, data, data._replace(class_names=names))
