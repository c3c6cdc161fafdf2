"""The names of runs' folders: short, readable, and another one for each other config."""

import itertools
import os
import re

import pytest

from config import base, digits
from gnp.errors import UserError
from gnp.runs.config_file import plain
from gnp.runs.naming import reference_path, short_path

KNOWN = plain(base.get_config())

# Configs that differ from the file, and so from each other, in one field each.
OTHERS = [
    *({"model.model_params.width": 2}, {"model.model_params.width": 3}),
    *({"model.model_params.width": "2"}, {"model.model_params.depths": [1, 2]}),
    *({"model.model_params.depths": "1-2"}, {"model.model_params.patches.size": 4}),
    *({"opt.opt_params.weight_decay": 1e-4}, {"opt.opt_params.width": 2}),
    *({"opt.opt_params.weight_decay": 1.0000001e-4}, {"opt.opt_type": "Adam"}),
    *({"label_smoothing": 0.1}, {"label_smoothing": 0.123456789}, {"base_lr": 1.0}),
    *({"gnp.ascent": "random"}, {"gnp.perturb": ("*Norm*",)}, {"gnp.perturb": ("*norm*",)}),
    *({"gnp.every": 2}, {"gnp.when.every": 2}, {"gnp.when.last_epoch": 2}, {"gnp.r": 0.1}),
    *({"gnp.warmup_epochs": 2.0}, {"warmup_epochs": 2}, {"gnp.alpha": 0.1}),
    *({"dataset.data_dir": "/a/flowers"}, {"dataset.data_dir": "/b/flowers"}),
    *({"dataset.data_dir": "flowers"}, {"dataset.data_dir": "x" * 300}),
    *({"dataset.data_dir": "x" * 301}, {"use_test_set": False}, {"seeds": 1}, {"init_seeds": 1}),
    *({"seeds": 1, "init_seeds": 1}, {"regularization.weight.l1.strengths": (("*", 1e-4),)}),
    *({"regularization.weight.l2.strengths": (("*", 1e-4),)}, {"keep_best_checkpoints": 0}),
]


def changed_config(**changes):
    config = digits.get_config()
    config.update_from_flattened_dict(changes)
    return config


def short(changes, stem="digits"):
    usual = plain(digits.get_config())
    return short_path(usual | changes, stem=stem, usual=usual, known=KNOWN, working_dir="runs")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "seed=0"),
        ({"seeds": 1, "init_seeds": 1}, "seed=1"),
        ({"seeds": 1}, "init_seeds=0,seeds=1"),
        ({"base_lr": 0.2, "gnp.r": 0.1, "gnp.alpha": 0.8}, "r=0.1,alpha=0.8,base_lr=0.2,seed=0"),
        ({"opt.opt_params.weight_decay": 1e-4}, "opt_params.weight_decay=0.0001,seed=0"),
        ({"model.model_params.patches.size": 4}, "model_params.patches.size=4,seed=0"),
        ({"gnp.when.every": 2, "warmup_epochs": 3}, "when.every=2,warmup_epochs=3,seed=0"),
        ({"gnp.warmup_epochs": 2.5}, "gnp.warmup_epochs=2.5,seed=0"),
        ({"dataset.data_dir": "/data/my flowers"}, "data_dir=my-flowers@56d456,seed=0"),
        ({"retrain": True, "logging.wandb": True, "profile_steps": "1:2"}, "seed=0"),
        ({"interrupt_exit_code": 75, "run_path": "reference"}, "seed=0"),
    ],
    ids=str,
)
def test_a_name_has_what_differs_from_the_file_and_the_seed(changes, name):
    assert short(changes).as_posix() == f"runs/digits/{name}"


def test_each_other_config_has_another_folder():
    assert len(OTHERS) >= 30
    names = [short(changes).name for changes in ({}, *OTHERS)]
    same = [(a, b) for a, b in itertools.combinations(range(len(names)), 2) if names[a] == names[b]]
    assert not same, [OTHERS[b - 1] for _, b in same]


def test_any_other_value_of_any_field_is_in_the_name():
    others = {True: False, False: True, None: 7}
    free = ("retrain", "profile_steps", "run_path", "interrupt_exit_code")
    for field, value in plain(digits.get_config()).items():
        is_free = field in free or field.startswith("logging.")
        other = others.get(value, 7) if type(value) in (bool, type(None)) else 7.25
        assert (short({field: other}) == short({})) == is_free, field


def test_a_name_is_fine_for_shells_and_file_systems():
    odd = {"dataset.data_dir": "~/$HOME/a b*[c]'\"\\é", "model.model_params.über": "(1, 2)"}
    everything = {name: value for other in OTHERS for name, value in other.items()}
    for changes in (odd, everything):
        path = short(changes, stem="my config (2)")
        assert re.fullmatch(r"runs/[\w.+@-]+/[\w.,=+@-]+", path.as_posix(), re.ASCII)
        assert len(path.name) <= 150


def test_a_long_name_is_cut_and_ends_in_the_seed_and_a_hash():
    first, second = ({f"model.model_params.{name}": 1 for name in "abcdefghi"} for _ in range(2))
    second["model.model_params.i"] = 2
    assert short(first) != short(second)
    assert re.fullmatch(r"model_params\.a=1,.*=1,seed=0@[0-9a-f]{8}", short(first).name)


def test_the_reference_s_path_nests_the_main_fields_in_order(tmp_path):
    config = changed_config(**{"gnp.r": 0.1, "gnp.alpha": 0.8, "init_seeds": 3, "seeds": 4})
    assert reference_path(config, tmp_path).relative_to(tmp_path).as_posix() == (
        "WideResNet_10_1/digits/crop_none/lr_0.1/bs_64/l2reg_0.001/grad_clip_5.0/opt_Momentum/"
        "warmup_epochs_0/gr_warmup_strategy_none/r_0.1/alpha_0.8/epoch_30/seeds_3_4"
    )


def test_a_slash_in_a_name_adds_no_level(tmp_path):
    config = changed_config(**{"dataset.dataset_name": "imagenet_v2/top"})
    assert reference_path(config, tmp_path).relative_to(tmp_path).parts[1] == "imagenet_v2_top"


@pytest.mark.parametrize(
    ("labels", "level"),
    [
        ({"label_noise": 0.4}, "labels_symmetric_0.4"),
        ({"label_noise": 0.2, "label_noise_kind": "asymmetric"}, "labels_asymmetric_0.2"),
        ({"label_noise": 0.4, "label_noise_seed": 3}, "labels_symmetric_0.4_seed_3"),
        ({"train_labels": "somewhere/human.csv"}, "labels_human"),
    ],
    ids=str,
)
def test_wrong_labels_are_a_level_of_the_reference_s_path(tmp_path, labels, level):
    config = changed_config(**{f"dataset.{name}": value for name, value in labels.items()})
    levels = reference_path(config, tmp_path).relative_to(tmp_path).parts
    assert levels[3:5] == (level, "lr_0.1")
    plain_path = reference_path(changed_config(), tmp_path)
    assert len(levels) == len(plain_path.relative_to(tmp_path).parts) + 1


@pytest.mark.parametrize(
    ("name", "what"), [(b"\xff", "bytes that are not UTF-8"), (b"a\\b", "back")]
)
def test_a_path_that_checkpoints_cannot_take_is_refused(tmp_path, name, what):
    working_dir = tmp_path / os.fsdecode(name)
    usual = plain(digits.get_config())
    for path in (
        lambda: reference_path(digits.get_config(), working_dir),
        lambda: short_path(usual, stem="a", usual=usual, known=KNOWN, working_dir=working_dir),
    ):
        with pytest.raises(UserError, match=rf"has {what}.*choose another --working_dir") as error:
            path()
        str(error.value).encode()
