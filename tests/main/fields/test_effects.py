"""Fields that have no effect are said, or refused; every field of config/base.py is classified."""

import logging
import pathlib
import subprocess
import sys

import pytest

from config import base
from gnp.ds_pipeline.build import source_names
from gnp.errors import UserError
from gnp.main.config import default_config, load_config
from gnp.main.fields.data_effect_rules import BUILT_IN
from gnp.main.fields.effects import RULES, check_effects
from gnp.main.main import run
from gnp.runs.folder import flatten
from gnp.training.settings.run import read_settings
from tests.training.settings.test_run import EXPERIMENTS

ROOT = pathlib.Path(__file__).parents[3]

# The fields that have an effect whatever the others are. A new field of config/base.py belongs here
# or into a rule of gnp/main/fields/effect_rules.py or data_effect_rules.py.
ALWAYS = {
    "init_seeds",
    "seeds",
    "batch_size",
    "total_epochs",
    "modules",
    "gradient_accumulation_steps",
    "steps_per_loop",
    "compute_dtype",
    "on_nonfinite",
    "init_from",
    "ema_decay",
    "base_lr",
    "use_learning_rate_schedule",
    "gradient_clipping",
    "l2_regularization",
    "loss",
    "label_smoothing",
    "distill.run",
    "opt.opt_type",
    "opt.freeze",
    "opt.groups",
    "opt.layer_decay",
    "model.model_name",
    "model.model_module",
    "use_additional_skip_connections_in_wrn",
    "dataset.dataset_name",
    "dataset.loader",
    "dataset.image_level_augmentations",
    "dataset.batch_level_augmentations",
    "dataset.random_erasing",
    "dataset.image_size",
    "dataset.num_classes",
    "dataset.num_channels",
    "dataset.num_train_images",
    "dataset.multi_label",
    "dataset.class_weights",
    "dataset.sampling",
    "dataset.label_noise",
    "dataset.train_labels",
    "use_test_set",
    "regularization.input_gradient.strength",
    "regularization.activation_gradient.strength",
    "regularization.parameter_gradient.strength",
    "regularization.weight.l1.strengths",
    "regularization.weight.l2.strengths",
    "regularization.weight.group_lasso.strengths",
    "regularization.weight.threshold.limits",
    "compute_top_5_error_rate",
    "evaluate_every_n_epochs",
    "save_ckpt_every_n_epochs",
    "save_ckpt_every_n_steps",
    "save_ckpt_every_n_minutes",
    "keep_latest_checkpoints",
    "keep_best_checkpoints",
    "best_metric",
    "early_stopping_patience",
    "interrupt_exit_code",
    "retrain",
    "run_path",
    "write_config_to_json",
    "profile_steps",
    "logging.tensorboard_logging_frequency",
    "logging.layer_norms_every",
    "logging.loss_spike_threshold",
    "logging.wandb",
    "logging.basic_logger_level",
    "logging.logger_sys_output",
}

CONDITIONAL = sorted({field for rule in RULES for field in rule.fields.split()})

# A value for each of the others that is not its default.
VALUES = {
    "gr_warmup_strategy": "zero",
    "hybrid_config.p": "0.4",
    "hybrid_config.p_end": "0.3",
    "hybrid_config.schedule": "linear",
    "gnp.mode": "exact",
    "gnp.ascent": "adaptive",
    "gnp.bn_policy": "both",
    "init_from_weights": "raw",
    "distill.weight": "0.5",
    "lr_schedule_type": "constant",
    "lr_stepped_schedule": "[(3, 0.5)]",
    "regularization.input_gradient.form": "squared",
    "regularization.activation_gradient.activations": "['*']",
    "regularization.weight.block_shape": "(2, 2)",
    "dataset.data_dir": "folder",
    "dataset.fake_kind": "memorizable",
    "dataset.tfds_name": "mnist",
    "dataset.on_bad_image": "skip",
    "dataset.resize": "pad",
    "dataset.antialias": "False",
    "dataset.recursive": "True",
    "dataset.label_noise_kind": "asymmetric",
    "tfds_dir": "folder",
    "imagenet_train_dir": "folder",
    "imagenet_val_dir": "folder",
    "use_hybrid_training": "True",
    "no_weight_decay_on_bn": "True",
    "gnp.norm_perturbations": "True",
    "gnp.ascent_decay": "0.5",
    "gnp.ascent_share": "0.5",
    "gnp.perturb": "('*kernel',)",
    "gnp.when.probability": "0.5",
    "gnp.when.steep": "True",
    "gnp.sync_perturbations": "True",
    "regularization.weight.group_lasso.weighted_by_size": "False",
}

PENALTY = ("gnp.r=0.1", "gnp.alpha=0.8")
HYBRID = (*PENALTY, "use_hybrid_training=True", "hybrid_config.p=0.5")
L1 = ("regularization.weight.l1.strengths=[('*kernel', 1e-4)]",)
L2 = ("regularization.weight.l2.strengths=[('*kernel', 1e-4)]",)
LASSO = ("regularization.weight.group_lasso.strengths=[('*Dense*kernel', 1e-4, 'blocks')]",)
THRESHOLD = ("regularization.weight.threshold.limits=[('*Dense*kernel', 1e-4, 'rows')]",)
FILES = ("dataset.dataset_name=image_folder",)
PHOTOS = ("dataset.dataset_name=imagenet",)
PUBLISHED = ("dataset.dataset_name=cifar10",)

# What gives each of them an effect.
WITH_EFFECT = {
    "gnp.r": ("gnp.alpha=0.8",),
    "gnp.alpha": ("gnp.r=0.1",),
    "gr_warmup_strategy": (*PENALTY, "gnp.warmup_epochs=3"),
    "gnp.warmup_epochs": (*PENALTY, "gr_warmup_strategy=r"),
    "gnp.warmup_steps": (*PENALTY, "gr_warmup_strategy=lambda"),
    "warmup_epochs": (),
    "use_hybrid_training": (*PENALTY, "hybrid_config.p=0.5"),
    "hybrid_config.p": (*PENALTY, "use_hybrid_training=True"),
    "hybrid_config.schedule": HYBRID,
    "hybrid_config.p_end": (*HYBRID, "hybrid_config.schedule=cosine"),
    "gnp.reuse": (*PENALTY, "gnp.every=2"),
    "gnp.ascent_decay": (*PENALTY, "gnp.ascent=friendly"),
    "init_from_weights": ("init_from=runs",),
    "distill.weight": ("distill.run=runs",),
    "distill.temperature": ("distill.run=runs",),
    "focal_gamma": ("loss=focal",),
    "max_rollbacks": ("on_nonfinite=rollback",),
    "lr_schedule_type": (),
    "lr_stepped_schedule": ("lr_schedule_type=stepped",),
    "no_weight_decay_on_bn": ("l2_regularization=0", "opt.opt_type=Adam"),
    "regularization.input_gradient.form": ("regularization.input_gradient.strength=1",),
    "regularization.activation_gradient.activations": (
        "regularization.activation_gradient.strength=1",
    ),
    "regularization.weight.block_shape": LASSO,
    "dataset.data_dir": FILES,
    "dataset.on_bad_image": FILES,
    "dataset.memory_limit_gb": FILES,
    "dataset.resize": FILES,
    "dataset.recursive": FILES,
    "dataset.antialias": PHOTOS,
    "tfds_dir": PUBLISHED,
    "dataset.imagenet_mixup_alpha": PHOTOS,
    "imagenet_train_dir": PHOTOS,
    "imagenet_val_dir": PHOTOS,
    "dataset.fake_kind": ("dataset.dataset_name=fake",),
    "dataset.tfds_name": ("dataset.dataset_name=tfds",),
    "dataset.num_parallel_calls": ("dataset.image_level_augmentations=trivialaugment",),
    "dataset.crop_padding": (),
    "dataset.randaug_num_layers": ("dataset.image_level_augmentations=randaugment",),
    "dataset.randaug_magnitude": ("dataset.image_level_augmentations=randaugment",),
    "dataset.mixup_alpha": ("dataset.batch_level_augmentations=cutmix",),
    "dataset.cutout_length": ("dataset.batch_level_augmentations=mixcut",),
    "dataset.label_noise_kind": ("dataset.label_noise=0.2",),
    "dataset.label_noise_seed": ("dataset.label_noise=0.2",),
}
for _name, _rules in (("l1", L1), ("l2", L2), ("group_lasso", LASSO), ("threshold", THRESHOLD)):
    for _field in CONDITIONAL:
        if _field.startswith(f"regularization.weight.{_name}."):
            WITH_EFFECT[_field] = _rules

# What takes the effect of those that have one in config/digits.py.
WITHOUT_EFFECT = {
    "warmup_epochs": ("use_learning_rate_schedule=False",),
    "lr_schedule_type": ("use_learning_rate_schedule=False",),
    "no_weight_decay_on_bn": ("l2_regularization=0",),
    "dataset.crop_padding": ("dataset.image_level_augmentations=none",),
}


def remarks(*overrides, path="config/digits.py"):
    config = load_config(path, overrides)
    read_settings(config, num_devices=1)
    return check_effects(config, default_config())


def override(field):
    default = load_config("config/base.py")
    for name in field.split("."):
        default = default[name]
    value = VALUES.get(field) or (2 if default in (None, 0, 1) else default + 1)
    return f"{field}={value}"


def test_every_field_is_classified_once():
    fields = flatten(base.get_config().to_dict()).keys()
    assert ALWAYS | set(CONDITIONAL) == set(fields)
    assert not ALWAYS & set(CONDITIONAL)


def test_the_data_sets_are_those_there_are():
    assert sorted(BUILT_IN) == source_names()


@pytest.mark.parametrize("field", CONDITIONAL)
def test_a_field_without_effect_is_said(field):
    overrides = (override(field), *WITHOUT_EFFECT.get(field, ()))
    try:
        (sentence,) = [s for s in remarks(*overrides) if s.startswith(f"{field} is ")]
    except UserError as error:
        sentence = str(error)
        assert sentence.startswith(f"{field} is ")
    else:
        assert "no effect" in sentence
    assert ", but " in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("field", CONDITIONAL)
def test_a_field_with_effect_is_not(field):
    given = WITH_EFFECT.get(field, PENALTY)
    assert remarks(*given, override(field)) == []


@pytest.mark.parametrize("path", EXPERIMENTS)
def test_the_experiments_set_nothing_without_effect(path):
    assert remarks(path=path) == []


@pytest.mark.parametrize("path", EXPERIMENTS)
def test_any_config_trains_without_the_penalty(path):
    remarks("gnp.r=0", "gnp.alpha=0", path=path)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["gnp.r=0.1"], "gnp.r is 0.1, but gnp.alpha is 0, so no step would be penalized; set"),
        (["gnp.alpha=0.8"], "gnp.alpha is 0.8, but gnp.r is 0, so no step would be penalized; set"),
        ([*PENALTY, "gnp.r=0"], "gnp.alpha is 0.8, but gnp.r is 0"),
        (
            [*PENALTY, "use_hybrid_training=True"],
            "use_hybrid_training is True, but hybrid_config.p",
        ),
        (
            [*PENALTY, "use_hybrid_training=True", "hybrid_config.p_end=0.5"],
            "use_hybrid_training is True, but hybrid_config.p is 0",
        ),
        ([*PENALTY, "hybrid_config.p=0.5"], "hybrid_config.p is 0.5, but use_hybrid_training is"),
        ([*PENALTY, "hybrid_config.p_end=0.5"], "hybrid_config.p_end is 0.5, but use_hybrid"),
        ([*HYBRID, "hybrid_config.p_end=0.1"], "p_end is 0.1, but hybrid_config.schedule is con"),
        ([*PENALTY, "gr_warmup_strategy=zero"], "is 'zero', but the warmup is 0 epochs long"),
        ([*PENALTY, "gnp.reuse=0.7"], "gnp.reuse is 0.7, but every step is penalized"),
    ],
    ids=str,
)
def test_what_would_not_be_trained_as_said_is_refused(overrides, sentence):
    with pytest.raises(UserError) as error:
        remarks(*overrides)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([*PENALTY, "gnp.norm_perturbations=True", "gnp.alpha=1"], "gnp.alpha is 1"),
        ([*PENALTY, "gnp.ascent=random", "gnp.ascent_steps=2"], "gnp.ascent is random"),
        ([*PENALTY, "gnp.warmup_epochs=3"], "gr_warmup_strategy is none"),
        (
            [*PENALTY, "gr_warmup_strategy=r", "gnp.warmup_epochs=3", "gnp.warmup_steps=9"],
            "gnp.warmup_steps is set",
        ),
        ([*HYBRID, "hybrid_config.schedule=linear", "hybrid_config.p_end=0.5"], "are the same"),
        (["lr_schedule_type=stepped"], "training ends before the first milestone"),
        ([*L1, "regularization.weight.l1.first_epoch=30"], "training ends before that epoch"),
        ([*THRESHOLD, "regularization.weight.threshold.release_epoch=40"], "ends before that"),
        ([*FILES, "dataset.loader=device", "dataset.memory_limit_gb=1"], "loader=tfdata are"),
        ([*PUBLISHED, "dataset.data_dir=a", "tfds_dir=b"], "do not come from tensorflow-datasets"),
        (
            [
                *PHOTOS,
                "dataset.batch_level_augmentations=mixup",
                "dataset.imagenet_mixup_alpha=1",
                "dataset.mixup_alpha=2",
            ],
            "mixes no images with this alpha",
        ),
        ([*PHOTOS, "dataset.crop_padding=2"], "pads no images"),
        ([*PHOTOS, "imagenet_val_dir=a", "use_test_set=False"], "is held out instead"),
    ],
    ids=str,
)
def test_what_is_ignored_among_others_is_said(overrides, sentence):
    (remark,) = remarks(*overrides)
    assert sentence in remark


def test_a_run_is_refused_before_it_has_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"^gnp\.r is 0\.1, but gnp\.alpha is 0"):
        run(load_config("config/digits.py", ["gnp.r=0.1"]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_warns_where_its_output_is_seen(tmp_path):
    command = [sys.executable, "-m", "gnp.main.main", "--config=config/digits.py"]
    command += [f"--working_dir={tmp_path}", "--config.gnp.every=2", "--config.total_epochs=1"]
    command += ["--config.dataset.num_train_images=64"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "gnp.every is 2, but gnp.r and gnp.alpha are 0" in done.stderr


def test_commands_log_under_the_name_of_their_module():
    """Run as a command, a module is called __main__, and its log would be no part of gnp's."""
    for file in (ROOT / "gnp/main").rglob("*.py"):
        text = file.read_text()
        assert "app.run(main" not in text or "getLogger(__name__)" not in text, file


def test_a_run_warns_in_its_log(tmp_path, caplog):
    fields = ("gnp.every=2", "total_epochs=1", "dataset.num_train_images=64")
    run(load_config("config/digits.py", fields), tmp_path)
    (log,) = tmp_path.rglob("log.txt")
    sentence = "gnp.every is 2, but gnp.r and gnp.alpha are 0, so training is standard; it has no"
    assert sentence in log.read_text()
    assert any(record.levelno == logging.WARNING for record in caplog.records)
