"""Configs that make no sense are refused before anything is computed."""

import logging
import pathlib

import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.start.build import check_names
from gnp.model import registry
from gnp.training.settings.run import read_settings

ROOT = pathlib.Path(__file__).parents[3]


def check(*overrides, num_devices=1, path="config/digits.py"):
    config = load_config(path, overrides)
    check_names(config)
    read_settings(config, num_devices=num_devices)


ONE_PASS = ("gnp.r=0.1", "gnp.alpha=1", "gnp.ascent=momentum")
EXPERIMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "config").rglob("*.py")
    if path.name not in ("__init__.py", "base.py")
)


@pytest.mark.parametrize("path", EXPERIMENTS)
def test_the_experiments_are_fine(path):
    check(path=path)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "model.model_name=WideResNet_10_2_1",
            "Unknown model.model_name 'WideResNet_10_2_1'; known: WideResNet_10_1,",
        ),
        ("dataset.dataset_name=digit", "Unknown dataset.dataset_name 'digit'; known: digits,"),
        ("dataset.image_level_augmentations=crops", "'crops'; known: crop,"),
        ("dataset.batch_level_augmentations=mixup2", "'mixup2'; known: mixup,"),
        ("lr_schedule_type=cosinus", "Unknown lr_schedule_type 'cosinus'; known: cosine,"),
        ("gr_warmup_strategy=zeros", "Unknown gr_warmup_strategy 'zeros'; known: zero,"),
        ("opt.opt_type=SDG", "'SDG'; known: SGD,"),
        ("opt.opt_params.momentun=0.8", "'momentun'; known: momentum,"),
        ("logging.basic_logger_level=warn", "'warn'; known: warning,"),
        ("best_metric=eval/accuracy", "Unknown best_metric 'eval/accuracy'; known: eval/"),
        ("best_metric=eval/top_5_error_rate", "Unknown best_metric 'eval/top_5_error_rate'"),
        ("best_metric=eval_ema/loss", "Unknown best_metric 'eval_ema/loss'; known: eval/loss"),
        ("ema_decay=1", "ema_decay is 1.0; it must be at least 0 and below 1, such as 0.999."),
        ("keep_latest_checkpoints=0", "keep_latest_checkpoints is 0; it must be at least 1."),
        ("save_ckpt_every_n_minutes=-1", "save_ckpt_every_n_minutes is -1.0; it must be at"),
        ("model.model_module=no_such_module", "model.model_module 'no_such_module' cannot be"),
        ("model.model_module=no_such_file.py", "model.model_module 'no_such_file.py' cannot be"),
        ("modules=no_such_module", "modules: 'no_such_module' cannot be imported"),
        ("modules=no_such_file.py", "modules: 'no_such_file.py' cannot be imported"),
        ("modules=[3]", "modules has 3; each is a Python path or a .py file, such as"),
        ("profile_steps=10", "profile_steps is '10'; it must be the first and the last step"),
        ("profile_steps=20:10", "profile_steps is '20:10'; it must be the first and the last"),
        ("profile_steps=0:10", "profile_steps is '0:10'; it must be the first and the last"),
        ("gnp.r=-0.1", "gnp.r is -0.1; it must be at least 0."),
        ("gnp.alpha=-1", "gnp.alpha is -1.0; it must be at least 0."),
        ("gnp.warmup_epochs=-1", "gnp.warmup_epochs is -1.0; it must be at least 0."),
        ("gnp.warmup_steps=-2", "gnp.warmup_steps is -2; it must be at least 0."),
        ("gnp.perturbation_batch=-4", "gnp.perturbation_batch is -4; it must be at least 0."),
        ("seeds=99999999999999999999", "it must be between 0 and 4294967295."),
        ("init_seeds=4294967296", "it must be between 0 and 4294967295."),
        ("total_epochs=0", "total_epochs is 0; it must be at least 1."),
        ("batch_size=-4", "batch_size is -4; it must be at least 1."),
        ("label_smoothing=1.5", "label_smoothing is 1.5; it must be between 0 and 1."),
        ("warmup_epochs=30", "warmup_epochs is 30, but training ends after total_epochs = 30;"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(override, sentence):
    with pytest.raises(UserError) as error:
        check(override)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["lr_schedule_type=stepped", "lr_stepped_schedule=[60, 0.2]"], "a list of (epoch"),
        (
            ["lr_schedule_type=stepped", "lr_stepped_schedule=[('a', 1)]"],
            "a list of (epoch, factor",
        ),
        (["gnp.mode=exact", "gnp.bn_policy=both"], "gnp.bn_policy is 'both', but gnp.mode=exact"),
        (["gnp.sync_perturbations=True", "gnp.perturbation_batch=8"], "set one of them alone"),
        (["opt.opt_type=SGD", "opt.opt_params.nesterov=True"], "nesterov of SGD needs a momentum"),
        ([*ONE_PASS, "gnp.alpha=0.8"], "no gradient to mix with: set gnp.alpha to 1"),
        ([*ONE_PASS, "gr_warmup_strategy=lambda"], "and gr_warmup_strategy to none, r or zero"),
        ([*ONE_PASS, "gnp.ascent_share=0.5"], "ascent_share and surrogate_gap must keep their"),
        ([*ONE_PASS, "gnp.ascent_steps=2"], "This ascent makes one pass"),
        ([*ONE_PASS, "gnp.mode=exact"], "The exact form has no perturbation, so"),
        ([*ONE_PASS, "gnp.reuse=0.7"], "gnp.reuse remembers the last penalty, and there"),
        ([*ONE_PASS, "gnp.when.steep=True"], "gnp.when.steep remembers the gradients' norms, and"),
        (["gnp.ascent=friendly", "gnp.when.steep=True"], "there is room for one memory"),
        (["gnp.ascent=friendly", "gnp.reuse=0.7"], "there is room for one memory"),
        (["gnp.reuse=0.7", "gnp.when.steep=True"], "there is room for one memory"),
        (["gnp.mode=exact", "gnp.ascent_share=0.5"], "The exact form has no perturbation, so"),
        (["gnp.every=2", "gnp.when.every=3"], "gnp.every and gnp.when.every are the same setting"),
        (
            ["use_hybrid_training=True", "hybrid_config.p=0.5", "gnp.when.probability=0.5"],
            "hybrid_config.p and gnp.when.probability are the same setting",
        ),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(overrides, sentence):
    with pytest.raises(UserError) as error:
        check(*overrides)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "images"),
    [
        (["gnp.perturbation_batch=2"], "2"),
        (["gradient_accumulation_steps=8"], "2"),
        # All 64 images are one group, but the first ones are those of each device's part.
        (["gradient_accumulation_steps=8", "gnp.sync_perturbations=True"], "2"),
    ],
)
def test_a_share_that_is_no_whole_number_of_images_is_refused(overrides, images):
    check(*overrides, "gnp.ascent_share=0.5", num_devices=4)
    with pytest.raises(UserError) as error:
        check(*overrides, "gnp.ascent_share=0.25", num_devices=4)
    assert f"which of the {images} images of a perturbation group on one device" in str(error.value)
    assert "choose a share that is a whole number of images, such as 0.5" in str(error.value)


def test_the_average_may_choose_the_best_checkpoint():
    check("ema_decay=0.99", "best_metric=eval_ema/loss")


def test_kernels_of_scanned_layers_cannot_be_told_from_biases():
    scanned = ("model.model_name=ViT_Micro", "model.model_params.scan_layers=True")
    check(*scanned)
    with pytest.raises(UserError, match="switch one of them off"):
        check(*scanned, "no_weight_decay_on_bn=True")


@pytest.mark.parametrize(
    ("batch_size", "num_devices", "nearest"),
    [(63, 2, "62 or 64"), (66, 4, "64 or 68"), (3, 4, "4")],
)
def test_a_batch_must_divide_over_the_devices(batch_size, num_devices, nearest):
    with pytest.raises(UserError, match=f"over {num_devices} devices; .*: {nearest}\\.$"):
        check(f"batch_size={batch_size}", num_devices=num_devices)


def test_a_weight_above_one_is_allowed_with_a_warning(caplog):
    check("gnp.alpha=1")
    assert not caplog.records
    check("gnp.alpha=1.5")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "gnp.alpha is 1.5" in record.getMessage()


def test_models_of_a_file_of_ones_own_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    file = tmp_path / "my_models.py"
    file.write_text(
        "from flax import linen as nn\n"
        "from gnp.model import register_model\n\n\n"
        "@register_model('MyModelOfTheCheck')\n"
        "class MyModel(nn.Module):\n"
        "    num_outputs: int\n"
    )
    for _ in range(2):
        check(f"model.model_module={file}", "model.model_name=MyModelOfTheCheck")


def test_a_run_of_more_steps_than_a_step_number_can_count_is_refused():
    settings = read_settings(
        load_config("config/digits.py", ["total_epochs=2147483647"]), num_devices=1
    )
    assert settings.length(64).total_steps == 2147483647
    with pytest.raises(UserError, match=r"which is 4294967294 steps; a run has at most 2147483647"):
        settings.length(128)
