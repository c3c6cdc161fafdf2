"""Which runs the table of published figures counts."""

import json

import pytest

from config import base
from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.reproduction import FREE_FIELDS, read_errors
from gnp.runs.config_file import Change, flatten, write_config

CELL = ("ViT_TI16", "penalty")


def make_run(folder, *fields, file="cifar10_vit", error=0.1, history=()):
    config = load_config(f"config/{file}.py", ["model.model_name=ViT_TI16", *fields])
    folder.mkdir(parents=True)
    write_config(folder, config, history)
    evaluation = {"eval/error_rate": error}
    (folder / "summary.json").write_text(json.dumps({"final": evaluation, "best": evaluation}))


@pytest.mark.parametrize(
    ("file", "fields", "cell"),
    [
        ("cifar10_vit", ["gnp.r=0", "gnp.alpha=0"], ("ViT_TI16", "standard")),
        ("cifar10_vit", [], CELL),
        ("cifar10_vit", ["model.model_name=ViT_B16"], ("ViT_B16", "penalty")),
        ("cifar10_vit_zero_warmup", [], ("ViT_TI16", "penalty, zero warmup")),
        ("cifar10_vit", ["compute_dtype=bfloat16", "dataset.loader=device"], CELL),
        ("cifar10_vit", ["save_ckpt_every_n_minutes=5", "logging.layer_norms_every=9"], CELL),
        ("cifar10_vit", ["run_path=reference"], CELL),
    ],
)
def test_a_run_of_the_published_settings_counts(tmp_path, file, fields, cell):
    make_run(tmp_path / "run", *fields, file=file)
    assert read_errors(tmp_path) == {cell: [10.0]}


@pytest.mark.parametrize(("field", "counts"), [("total_epochs", False), ("keep_latest", True)])
def test_a_run_that_was_changed_while_it_trained_is_skipped(tmp_path, capsys, field, counts):
    make_run(tmp_path / "run", history=[Change(40, field, 1, 200, "2026-01-01T00:00:00+00:00")])
    assert bool(read_errors(tmp_path).get(CELL)) == counts
    assert ("it was changed while it trained: total_epochs" in capsys.readouterr().err) != counts


@pytest.mark.parametrize(
    "fields",
    [
        ["warmup_epochs=40", "gr_warmup_strategy=r"],
        ["warmup_epochs=40", "gr_warmup_strategy=lambda"],
        ["warmup_epochs=5", "gr_warmup_strategy=zero", "gnp.r=0.5"],
        ["model.model_params.patches.size=8"],
        ["dataset.batch_level_augmentations=mixup"],
        ["dataset.num_train_images=5000"],
        ["use_test_set=False"],
        ["early_stopping_patience=3"],
        ["base_lr=0.01"],
        ["total_epochs=30"],
        ["model.model_name=WideResNet_28_10"],
    ],
)
def test_a_run_with_other_settings_is_skipped_and_the_difference_named(tmp_path, capsys, fields):
    make_run(tmp_path / "run", *fields)
    assert not any(read_errors(tmp_path).values())
    said = capsys.readouterr().err
    assert "its settings differ" in said
    assert fields[0].partition("=")[0] in said


def test_seeds_are_collected_and_none_counts_twice(tmp_path, capsys):
    make_run(tmp_path / "a", "seeds=0", error=0.1)
    make_run(tmp_path / "b", "seeds=1", error=0.2)
    make_run(tmp_path / "c", "seeds=1", "compute_dtype=bfloat16", error=0.3)
    assert read_errors(tmp_path) == {CELL: [10.0, 20.0]}
    assert f"{tmp_path / 'c'}: another run has the same settings and seeds" in (
        capsys.readouterr().err
    )


def test_a_run_without_a_config_is_skipped(tmp_path, capsys):
    make_run(tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    assert read_errors(tmp_path) == {}
    assert "There is no config file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["", "{}", '{"final": {}}', '{"final": {"eval/error_rate": ""}}']
)
def test_a_run_whose_summary_is_damaged_is_skipped(tmp_path, capsys, content):
    make_run(tmp_path / "a", "seeds=0")
    make_run(tmp_path / "b", "seeds=1")
    (tmp_path / "b" / "summary.json").write_text(content)
    assert read_errors(tmp_path) == {CELL: [10.0]}
    assert f"Skipped: {tmp_path / 'b'}: " in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"There is no folder .*nosuch; name the one"):
        read_errors(tmp_path / "nosuch")


def test_the_free_fields_exist():
    names = flatten(base.get_config().to_dict())
    for free in FREE_FIELDS:
        assert any(name.startswith(free.rstrip("*")) for name in names), free
