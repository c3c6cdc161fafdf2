"""Which folder a run gets: one of its own, whatever differs, and the one that it had before."""

import json
import pathlib

import ml_collections
import pytest

import gnp
from gnp.ds_pipeline.build import filled_in
from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.main import run
from gnp.main.start.place import place_of
from gnp.runs.naming import reference_path

MODELS = pathlib.Path(__file__).parents[1] / "small_models.py"
TINY = [
    *("dataset.num_train_images=128", "total_epochs=2", "model.model_name=NetToLookInto"),
    *(f"model.model_module={MODELS}", "save_ckpt_every_n_epochs=1"),
]
FILE = f"""
from gnp.configs import base

def get_config():
    config = base.get_config()
    config.dataset.dataset_name = "digits"
    config.dataset.image_size = 8
    config.dataset.num_train_images = 128
    config.model.model_name = "NetToLookInto"
    config.model.model_module = {str(MODELS)!r}
    config.batch_size = 64
    config.total_epochs = 1
    config.base_lr = LR
    return config
"""


def own_config(folder, lr):
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(FILE.replace("LR", str(lr)))
    return load_config(str(folder / "mine.py"))


def begin(folder, config):
    """Leaves what a run leaves that has begun."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(filled_in(config).to_dict()))
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')


def test_the_folder_is_named_after_the_file_and_what_differs_from_it(tmp_path):
    config = load_config("digits", {"gnp.r": 0.1, "gnp.alpha": 0.8})
    assert place_of(config, tmp_path).folder == tmp_path / "digits/r=0.1,alpha=0.8,seed=0"


@pytest.mark.parametrize("kind", [dict, ml_collections.ConfigDict])
def test_a_config_without_a_file_is_named_after_its_data(tmp_path, kind):
    values = load_config("digits", {"seeds": 1, "init_seeds": 1}).to_dict()
    config = gnp.main.config.as_config(kind(values))
    folder = place_of(config, tmp_path).folder
    assert folder.parent == tmp_path / "digits"
    assert "batch_size=64" in folder.name
    assert "seed=1" in folder.name


def test_a_run_in_the_reference_s_path_is_found_and_resumes_there(tmp_path, capsys):
    config = load_config("config/digits.py", TINY)
    run(load_config("config/digits.py", [*TINY, "run_path=reference"]), tmp_path)
    folder = reference_path(config, tmp_path)
    kept = json.loads((folder / "config.json").read_text())
    del kept["run_path"]  # which the older version had not
    (folder / "config.json").write_text(json.dumps(kept))
    capsys.readouterr()
    assert run(config, tmp_path) == folder
    assert len(list(tmp_path.rglob("config.json"))) == 1
    assert "Resuming after step 4 of 4" in (folder / "log.txt").read_text()
    assert "was begun by an older version, and stays in" in (folder / "log.txt").read_text()
    other = load_config("config/digits.py", [*TINY, "label_smoothing=0.1"])
    assert place_of(other, tmp_path).folder.parent == tmp_path / "digits"


def test_two_config_files_of_one_name_get_two_folders_which_they_keep(tmp_path):
    first, second = own_config(tmp_path / "a", 0.1), own_config(tmp_path / "b", 0.2)
    runs = tmp_path / "runs"
    of_first = run(first, runs)
    place = place_of(second, runs)
    assert of_first == runs / "mine/seed=0"
    assert place.folder.name.startswith("seed=0@")
    (remark,) = place.remarks
    assert "holds a run with another config (base_lr: 0.1 -> 0.2), so that this run is" in remark
    assert run(second, runs) == place.folder
    assert place_of(first, runs).folder == of_first
    assert place_of(second, runs) == place
    of_first.rename(tmp_path / "away")
    assert place_of(second, runs).folder == place.folder


def test_what_never_began_is_nobody_s(tmp_path):
    folder = tmp_path / "mine/seed=0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(own_config(tmp_path / "a", 0.1).to_dict()))
    assert place_of(own_config(tmp_path / "b", 0.2), tmp_path).folder == folder


def test_retrain_takes_its_own_folder_even_if_it_is_damaged(tmp_path):
    config = load_config("digits", {"retrain": True})
    folder = tmp_path / "digits/seed=0"
    begin(folder, load_config("digits"))
    assert place_of(config, tmp_path).folder == folder
    (folder / "config.json").write_text("{")
    assert place_of(config, tmp_path).folder == folder
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        place_of(load_config("digits"), tmp_path)


def test_python_and_the_command_line_name_a_run_alike(tmp_path):
    from_name = gnp.train(own_config(tmp_path / "a", 0.1), tmp_path / "runs")
    assert from_name.folder == (tmp_path / "runs/mine/seed=0")
    again = gnp.train(str(tmp_path / "a" / "mine.py"), tmp_path / "runs")
    assert again.folder == from_name.folder


def test_the_config_of_a_run_names_that_run(tmp_path):
    config = load_config("digits", {"label_smoothing": 0.1})
    folder = tmp_path / "digits" / "renamed"
    begin(folder, config)
    kept = load_config(str(folder / "config.json"))
    assert place_of(kept, tmp_path).folder == folder
    assert place_of(kept, tmp_path / "elsewhere").folder == tmp_path / "elsewhere/digits/seed=0"
    changed = load_config(str(folder / "config.json"), {"label_smoothing": 0.2})
    assert place_of(changed, tmp_path).folder == tmp_path / "digits/label_smoothing=0.2,seed=0"


def test_a_process_is_told_what_the_first_one_has_found(tmp_path, monkeypatch):
    config = load_config("digits")
    begin(reference_path(config, tmp_path), config)
    monkeypatch.setattr("jax.process_index", lambda: 1)
    monkeypatch.setattr("gnp.training.parallel.agree", lambda value: 1)
    assert place_of(config, tmp_path).folder.name.startswith("seed=0@")
    monkeypatch.setattr("gnp.training.parallel.agree", lambda value: value)
    with pytest.raises(UserError, match="The first process has refused the run"):
        place_of(config, tmp_path)
