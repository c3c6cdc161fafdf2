"""Whether a config makes sense, said before anything is computed."""

import logging
import math
from typing import Any

from gnp.ds_pipeline import build as data
from gnp.errors import UserError, unknown_name
from gnp.main.build import DTYPES, import_model_module
from gnp.model import model_names
from gnp.optimizer.build import build_optimizer
from gnp.optimizer.schedule import schedule_names
from gnp.regularization.input_gradient import FORMS
from gnp.regularization.penalized_steps import PROBABILITY_SCHEDULES
from gnp.regularization.warmup import strategy_names
from gnp.runs.wandb_writer import require_wandb
from gnp.training.gradient import BN_POLICIES
from gnp.training.nonfinite import POLICIES
from gnp.training.penalties import gradient_penalties, weight_penalties, weight_threshold
from gnp.training.profiling import steps_to_profile
from gnp.training.step_kinds import learning_rate, penalty_form, plan_both_groups

_LOG_LEVELS = ("debug", "info", "warning", "error")

_AT_LEAST_ONE = (
    "batch_size",
    "total_epochs",
    "evaluate_every_n_epochs",
    "save_ckpt_every_n_epochs",
    "gradient_accumulation_steps",
    "steps_per_loop",
    "gnp.every",
    "dataset.image_size",
    "dataset.num_classes",
    "dataset.num_channels",
    "keep_latest_checkpoints",
    "logging.tensorboard_logging_frequency",
)
_AT_LEAST_ZERO = (
    "base_lr",
    "warmup_epochs",
    "gradient_clipping",
    "l2_regularization",
    "dataset.num_train_images",
    "gnp.r",
    "gnp.alpha",
    "gnp.surrogate_gap",
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
    "interrupt_exit_code",
    "logging.layer_norms_every",
    "logging.loss_spike_threshold",
)
_SEEDS = ("init_seeds", "seeds")  # of 32 bits, as JAX takes them
_SHARES = ("label_smoothing", "hybrid_config.p", "hybrid_config.p_end")

_log = logging.getLogger(__name__)


def check_config(config: Any, *, num_devices: int) -> None:
    """Checks names and numbers, and how they go together.

    Args:
      config: the resolved config.
      num_devices: devices that share a batch, over all processes.

    Raises:
      UserError: names the field, what it holds and what it may hold.
    """
    _check_names(config)
    _check_numbers(config)
    check_batch_divides(config.batch_size, num_devices)
    build_optimizer(config.opt.opt_type, config.opt.opt_params)
    penalty_form(config)
    steps_to_profile(config.profile_steps)
    if config.logging.wandb:
        require_wandb()
    plan_both_groups(config, num_devices)
    _check_penalties(config)
    if config.warmup_epochs >= config.total_epochs:
        raise UserError(
            f"warmup_epochs is {config.warmup_epochs}, but training ends after total_epochs = "
            f"{config.total_epochs}; choose a shorter warmup."
        )
    learning_rate(config, steps_per_epoch=1)
    _check_gnp(config.gnp)
    if not 0 <= config.ema_decay < 1:
        raise UserError(
            f"ema_decay is {config.ema_decay}; it must be at least 0 and below 1, such as 0.999."
        )
    if config.no_weight_decay_on_bn and config.model.model_params.get("scan_layers"):
        raise UserError(
            "no_weight_decay_on_bn tells kernels by their number of dimensions, which scan_layers "
            "changes; switch one of them off."
        )
    if config.gnp.alpha > 1:
        _log.warning(
            "gnp.alpha is %s; above 1 the step goes beyond the perturbed gradient.",
            config.gnp.alpha,
        )


def _check_gnp(gnp):
    if gnp.mode == "exact" and gnp.bn_policy != "clean":
        raise UserError(
            f"gnp.bn_policy is {gnp.bn_policy!r}, but gnp.mode=exact perturbs nothing; leave it at "
            "'clean'."
        )
    if gnp.sync_perturbations and gnp.perturbation_batch is not None:
        raise UserError(
            "gnp.sync_perturbations has the whole batch share a perturbation, and "
            f"gnp.perturbation_batch = {gnp.perturbation_batch} images; set one of them alone."
        )


def _check_penalties(config):
    gradient_penalties(config)
    weight_penalties(config)
    weight_threshold(config, steps_per_epoch=1)
    weight = config.regularization.weight
    has_groups = weight.group_lasso.strengths or weight.threshold.limits
    if has_groups and config.model.model_params.get("scan_layers"):
        raise UserError(
            "regularization.weight makes groups within the parameters of one layer, which "
            "scan_layers stacks; switch one of them off."
        )


def _check_names(config):
    import_model_module(config.model.model_module)
    tables = {
        "model.model_name": model_names(),
        "dataset.dataset_name": data.source_names(),
        "dataset.image_level_augmentations": data.image_level_names(),
        "dataset.batch_level_augmentations": data.batch_level_names(),
        "lr_schedule_type": schedule_names(),
        "gr_warmup_strategy": strategy_names(),
        "gnp.bn_policy": BN_POLICIES,
        "regularization.input_gradient.form": FORMS,
        "hybrid_config.schedule": PROBABILITY_SCHEDULES,
        "on_nonfinite": POLICIES,
        "compute_dtype": DTYPES,
        "logging.basic_logger_level": _LOG_LEVELS,
        "best_metric": _best_metrics(config),
    }
    for field, names in tables.items():
        if _value(config, field) not in names:
            raise unknown_name(field, _value(config, field), names)


def _best_metrics(config):
    prefixes = ("eval", "eval_ema") if config.ema_decay else ("eval",)
    names = ["error_rate", "loss"]
    if config.compute_top_5_error_rate:
        names.append("top_5_error_rate")
    return [f"{prefix}/{name}" for prefix in prefixes for name in names]


def _check_numbers(config):
    _check_range(config, _AT_LEAST_ONE, 1, math.inf)
    _check_range(config, _AT_LEAST_ZERO, 0, math.inf)
    _check_range(config, _SEEDS, 0, 2**32 - 1)
    _check_range(config, _SHARES, 0, 1)


def _check_range(config, fields, low, high):
    for field in fields:
        value = _value(config, field)
        if value is not None and not low <= value <= high:
            limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
            raise UserError(f"{field} is {value}; it must be {limits}.")


def check_batch_divides(batch_size: int, num_devices: int) -> None:
    """Raises a UserError, with sizes that fit, if a batch does not divide over the devices."""
    rest = batch_size % num_devices
    if rest:
        below, above = batch_size - rest, batch_size - rest + num_devices
        nearest = f"{below} or {above}" if below else str(above)
        raise UserError(
            f"batch_size is {batch_size}, which does not divide over {num_devices} devices; "
            f"the nearest sizes that do: {nearest}."
        )


def _value(config, field):
    for name in field.split("."):
        config = config[name]
    return config
