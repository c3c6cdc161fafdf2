"""What the fields of a config may hold, where that is a range of numbers or a list of names."""

import math
from collections.abc import Iterable
from typing import Any

from gnp.errors import UserError, unknown_name
from gnp.optimizer.schedule import schedule_names
from gnp.regularization.input_gradient import FORMS
from gnp.regularization.penalized_steps import PROBABILITY_SCHEDULES
from gnp.regularization.warmup import strategy_names
from gnp.runs.folder import flatten
from gnp.runs.naming import PATHS
from gnp.training.gradient import BN_POLICIES
from gnp.training.loss import loss_names
from gnp.training.nonfinite import POLICIES

_AT_LEAST_ONE = (
    "total_epochs",
    "evaluate_every_n_epochs",
    "save_ckpt_every_n_epochs",
    "gradient_accumulation_steps",
    "steps_per_loop",
    "gnp.every",
    "gnp.when.every",
    "dataset.num_channels",
    "keep_latest_checkpoints",
    "logging.tensorboard_logging_frequency",
)
_AT_LEAST_ZERO = (
    "base_lr",
    "warmup_epochs",
    "gradient_clipping",
    "l2_regularization",
    "focal_gamma",
    "dataset.num_train_images",
    "gnp.r",
    "gnp.alpha",
    "gnp.surrogate_gap",
    "gnp.shrink_r_below",
    "gnp.reuse",
    "gnp.warmup_epochs",
    "gnp.warmup_steps",
    "gnp.perturbation_batch",
    "regularization.input_gradient.strength",
    "regularization.activation_gradient.strength",
    "regularization.parameter_gradient.strength",
    "max_rollbacks",
    "save_ckpt_every_n_steps",
    "save_ckpt_every_n_minutes",
    "keep_best_checkpoints",
    "early_stopping_patience",
    "logging.layer_norms_every",
    "logging.loss_spike_threshold",
)
_SEEDS = ("init_seeds", "seeds")  # of 32 bits, as JAX takes them
_IMAGE_SIZES = ("dataset.image_size",)
_CLASSES = ("dataset.num_classes",)
_EXIT_CODES = ("interrupt_exit_code",)
_SHARES = (
    "label_smoothing",
    "distill.weight",
    "hybrid_config.p",
    "hybrid_config.p_end",
    "gnp.when.probability",
    "gnp.ascent_share",
)

_RANGES = (
    (_AT_LEAST_ONE, 1, math.inf),
    (_AT_LEAST_ZERO, 0, math.inf),
    (_SEEDS, 0, 2**32 - 1),
    (_EXIT_CODES, 0, 255),
    (_IMAGE_SIZES, 1, 16384),
    (_CLASSES, 1, 10**6),
    (_SHARES, 0, 1),
)

# Steps, and numbers computed with them, are of 32 bits.
LARGEST_INT, LARGEST_FLOAT = 2**31 - 1, 3e38

_LOG_LEVELS = ("debug", "info", "warning", "error")


def check_fields(config: Any) -> None:
    """Checks each field on its own.

    Raises:
      UserError: names the field, what it holds and what it may hold.
    """
    for field, names in _names(config).items():
        if value_of(config, field) not in names:
            raise unknown_name(field, value_of(config, field), names)
    _check_multi_label(config)
    for field, value in flatten(config.to_dict()).items():
        _check_size(field, value)
    for fields, low, high in _RANGES:
        for field in fields:
            _check_range(field, value_of(config, field), low, high)
    if not 0 <= config.ema_decay < 1:
        raise UserError(
            f"ema_decay is {config.ema_decay}; it must be at least 0 and below 1, such as 0.999."
        )


def _check_multi_label(config):
    """Checks the fields that an image with any number of classes rules out."""
    if not config.dataset.multi_label:
        return
    if config.loss != "binary_cross_entropy":
        raise UserError(
            f"loss is {config.loss}, which is for one class per image, but dataset.multi_label is "
            "True; set loss to binary_cross_entropy."
        )
    if config.label_smoothing:
        raise UserError(
            f"label_smoothing is {config.label_smoothing}, which takes from the one class of an "
            "image for all others, but dataset.multi_label is True; set it to 0."
        )
    if config.compute_top_5_error_rate:
        raise UserError(
            "compute_top_5_error_rate is True, but with dataset.multi_label an image has no one "
            "class to find among five; set it to False."
        )


def _check_size(field, value):
    """Checks a number, or those in a list, whatever it means."""
    if isinstance(value, list | tuple):
        for inner in value:
            _check_size(field, inner)
        return
    largest = LARGEST_INT if type(value) is int else LARGEST_FLOAT
    if field not in _SEEDS and isinstance(value, int | float) and not abs(value) <= largest:
        raise UserError(f"{field} is or has {value}; it must be at most {largest} in size.")


def value_of(config: Any, field: str) -> Any:
    """The value of a field by its dotted name."""
    for name in field.split("."):
        config = config[name]
    return config


def _names(config) -> dict[str, Iterable[str]]:
    return {
        "init_from_weights": ("", "raw", "ema"),
        "lr_schedule_type": schedule_names(),
        "loss": loss_names(),
        "gr_warmup_strategy": strategy_names(),
        "gnp.bn_policy": BN_POLICIES,
        "regularization.input_gradient.form": FORMS,
        "hybrid_config.schedule": PROBABILITY_SCHEDULES,
        "on_nonfinite": POLICIES,
        "run_path": PATHS,
        "logging.basic_logger_level": _LOG_LEVELS,
        "best_metric": _best_metrics(config),
    }


def _best_metrics(config):
    prefixes = ("eval", "eval_ema") if config.ema_decay else ("eval",)
    names = ["error_rate", "loss"]
    if config.dataset.multi_label:
        names.append("map_error")
    if config.compute_top_5_error_rate:
        names.append("top_5_error_rate")
    return [f"{prefix}/{name}" for prefix in prefixes for name in names]


def _check_range(field, value, low, high):
    if value is not None and not low <= value <= high:
        limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
        raise UserError(f"{field} is {value}; it must be {limits}.")
