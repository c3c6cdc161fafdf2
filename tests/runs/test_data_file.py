"""What a run's folder keeps of the data that it was trained on."""

import json

import pytest

from config import digits as digits_config
from gnp.ds_pipeline.build import build_source
from gnp.errors import UserError
from gnp.runs.data_file import DATA_FILE, read_run_data, write_run_data


def make_source(**dataset):
    config = digits_config.get_config()
    config.dataset.update(dataset)
    return build_source(config)


def test_it_is_read_as_it_was_written(tmp_path):
    source = make_source()
    write_run_data(tmp_path, source)
    data = read_run_data(tmp_path)
    assert (data.class_names, tuple(data.mean)) == (source.class_names, source.mean)
    assert "label_noise" not in json.loads((tmp_path / DATA_FILE).read_text())
    assert data.label_noise is None


def test_label_noise_is_recorded(tmp_path):
    source = make_source(label_noise=0.2, label_noise_seed=5)
    write_run_data(tmp_path, source)
    noise = read_run_data(tmp_path).label_noise
    assert noise == source.label_noise
    assert (noise["kind"], noise["share"], noise["seed"]) == ("symmetric", 0.2, 5)
    assert noise["changed"] == sum(noise["changed_per_class"].values()) == source.num_wrong_labels


def test_files_of_older_versions_are_read(tmp_path):
    assert read_run_data(tmp_path) is None
    (tmp_path / DATA_FILE).write_text('{"class_names": ["a"], "mean": [0.5], "std": [0.2]}')
    assert read_run_data(tmp_path).class_names == ["a"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / DATA_FILE).write_text('{"class_names": ["a"], "mean": [0.5]}')
    with pytest.raises(UserError, match=r"data\.json is damaged"):
        read_run_data(tmp_path)
