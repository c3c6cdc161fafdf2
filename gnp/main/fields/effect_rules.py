"""When the fields of training have an effect. `gnp.main.fields.effects` checks them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gnp.optimizer.optimizers import weight_decay_of
from gnp.regularization.ascent import ONE_PASS, WITH_AVERAGE


class Rule(NamedTuple):
    """When fields have an effect.

    Attributes:
      fields: names of fields, separated by spaces.
      has_effect: a function of the config.
      otherwise: why not, and what to do, as the end of a sentence.
      is_error: whether training without the effect is not what the config says. Else there is a
        warning.
    """

    fields: str
    has_effect: Callable[[Any], bool]
    otherwise: str
    is_error: bool = False


def _is_penalized(config):
    return config.gnp.r > 0 and config.gnp.alpha > 0


def _is_standard(config):
    return config.gnp.r == 0 and config.gnp.alpha == 0


def _if_penalized(has_effect):
    """A condition that only counts in runs with the penalty; others have rules of their own."""
    return lambda config: not _is_penalized(config) or has_effect(config)


def _has_probability(config):
    hybrid = config.hybrid_config
    return hybrid.p > 0 or (hybrid.schedule != "constant" and hybrid.p_end > 0)


def _has_standard_steps(config):
    gnp = config.gnp
    return (
        gnp.every > 1
        or gnp.when.every > 1
        or gnp.when.every_n_epochs > 1
        or gnp.when.probability is not None
        or config.use_hybrid_training
    )


def _has_warmup(config):
    gnp = config.gnp
    if gnp.warmup_steps is not None:
        return gnp.warmup_steps > 0
    return (config.warmup_epochs if gnp.warmup_epochs is None else gnp.warmup_epochs) > 0


def _warms_up_penalty(config):
    gnp, strategy = config.gnp, config.gr_warmup_strategy
    is_unset = gnp.warmup_epochs is None and gnp.warmup_steps is None
    return _is_penalized(config) and strategy != "none" and is_unset


_STANDARD = "gnp.r and gnp.alpha are 0, so training is standard"
_STRATEGY = "gr_warmup_strategy is none; set it to r, lambda or zero"
_SWITCH = "use_hybrid_training is False, so every step is penalized; set it to True"

PENALTY_RULES = (
    Rule(
        "gnp.r",
        lambda c: c.gnp.alpha > 0,
        "gnp.alpha is 0, so no step would be penalized; set gnp.alpha too, such as 0.8, or gnp.r "
        "to 0 for standard training",
        is_error=True,
    ),
    Rule(
        "gnp.alpha",
        lambda c: c.gnp.r > 0,
        "gnp.r is 0, so no step would be penalized; set gnp.r too, such as 0.1, or gnp.alpha to 0 "
        "for standard training",
        is_error=True,
    ),
    Rule(
        "gr_warmup_strategy use_hybrid_training hybrid_config.p hybrid_config.schedule "
        "hybrid_config.p_end gnp.norm_perturbations gnp.warmup_epochs gnp.warmup_steps gnp.mode "
        "gnp.ascent gnp.ascent_decay gnp.ascent_steps gnp.ascent_share gnp.perturb "
        "gnp.shrink_r_below gnp.surrogate_gap gnp.every gnp.reuse gnp.bn_policy "
        "gnp.when.first_epoch gnp.when.last_epoch gnp.when.every_n_epochs gnp.when.every "
        "gnp.when.probability gnp.when.steep",
        lambda c: not _is_standard(c),
        _STANDARD,
    ),
    Rule(
        "gnp.sync_perturbations gnp.perturbation_batch",
        lambda c: not _is_standard(c) or c.regularization.parameter_gradient.strength > 0,
        f"{_STANDARD} and there are no perturbation groups",
    ),
    Rule(
        "use_hybrid_training",
        _if_penalized(_has_probability),
        "hybrid_config.p is 0, so no step would be penalized; set the probability hybrid_config.p, "
        "or a schedule that ends at hybrid_config.p_end",
        is_error=True,
    ),
    Rule(
        "hybrid_config.p hybrid_config.schedule hybrid_config.p_end",
        _if_penalized(lambda c: c.use_hybrid_training),
        _SWITCH,
        is_error=True,
    ),
    Rule(
        "hybrid_config.p_end",
        lambda c: not c.use_hybrid_training or c.hybrid_config.schedule != "constant",
        "hybrid_config.schedule is constant; set it to linear or cosine",
        is_error=True,
    ),
    Rule(
        "hybrid_config.schedule",
        lambda c: c.hybrid_config.p != c.hybrid_config.p_end,
        "hybrid_config.p and hybrid_config.p_end are the same",
    ),
    Rule(
        "gr_warmup_strategy",
        _if_penalized(_has_warmup),
        "the warmup is 0 epochs long; set warmup_epochs or gnp.warmup_epochs, or "
        "gr_warmup_strategy to none",
        is_error=True,
    ),
    Rule("gnp.warmup_epochs", lambda c: c.gnp.warmup_steps is None, "gnp.warmup_steps is set"),
    Rule(
        "gnp.warmup_epochs gnp.warmup_steps",
        _if_penalized(lambda c: c.gr_warmup_strategy != "none"),
        _STRATEGY,
    ),
    Rule(
        "warmup_epochs",
        lambda c: c.use_learning_rate_schedule or _warms_up_penalty(c),
        "use_learning_rate_schedule is False, and the penalty has no warmup of this length",
    ),
    Rule(
        "gnp.reuse",
        _if_penalized(_has_standard_steps),
        "every step is penalized, so none can reuse the last penalty; set gnp.when.every above 1",
        is_error=True,
    ),
    Rule("gnp.norm_perturbations", lambda c: c.gnp.alpha != 1, "gnp.alpha is 1"),
    Rule("gnp.ascent_steps", lambda c: c.gnp.ascent != "random", "gnp.ascent is random"),
    Rule(
        "gnp.ascent_decay",
        _if_penalized(lambda c: c.gnp.ascent in WITH_AVERAGE),
        f"gnp.ascent has no moving average; set it to {', '.join(WITH_AVERAGE)}",
    ),
    Rule(
        "gnp.bn_policy",
        _if_penalized(lambda c: c.gnp.ascent not in ONE_PASS),
        "gnp.ascent makes one pass, whose batch statistics are the only ones",
    ),
    Rule(
        "gnp.when.first_epoch",
        _if_penalized(lambda c: c.gnp.when.first_epoch < c.total_epochs),
        "training ends before that epoch, so no step would be penalized",
        is_error=True,
    ),
    Rule(
        "gnp.when.probability",
        lambda c: c.gnp.when.probability != 0,
        "it is 0, so no step would be penalized",
        is_error=True,
    ),
)


def _uses_schedule(*names):
    return lambda c: c.use_learning_rate_schedule and c.lr_schedule_type in names


def _has_decay(config):
    own = weight_decay_of(config.opt.opt_type, config.opt.opt_params)
    return config.l2_regularization > 0 or own != 0


TRAINING_RULES = (
    Rule(
        "init_from_weights",
        lambda c: c.init_from != "",
        "init_from is empty, so there are no weights to start from; name a run",
        is_error=True,
    ),
    Rule(
        "distill.weight distill.temperature",
        lambda c: c.distill.run != "",
        "distill.run is empty, so there is no teacher; name a run",
        is_error=True,
    ),
    Rule(
        "distill.temperature",
        lambda c: not c.distill.run or c.distill.weight > 0,
        "distill.weight is 0, so the teacher is not listened to",
    ),
    Rule("focal_gamma", lambda c: c.loss == "focal", "loss is not focal; set it to focal"),
    Rule("max_rollbacks", lambda c: c.on_nonfinite == "rollback", "on_nonfinite is not rollback"),
    Rule(
        "lr_schedule_type",
        lambda c: c.use_learning_rate_schedule,
        "use_learning_rate_schedule is False, so the learning rate is constant",
    ),
    Rule(
        "lr_stepped_schedule",
        _uses_schedule("stepped"),
        "the learning rate is not stepped; set lr_schedule_type to stepped",
    ),
    Rule(
        "lr_schedule_type",
        lambda c: (
            not _uses_schedule("stepped")(c)
            or any(epoch < c.total_epochs for epoch, _ in c.lr_stepped_schedule)
        ),
        "training ends before the first milestone of lr_stepped_schedule",
    ),
    Rule(
        "no_weight_decay_on_bn",
        _has_decay,
        "there is no weight decay: l2_regularization is 0, and the optimizer has none of its own",
    ),
    Rule(
        "regularization.input_gradient.form",
        lambda c: c.regularization.input_gradient.strength > 0,
        "regularization.input_gradient.strength is 0",
    ),
    Rule(
        "regularization.activation_gradient.activations",
        lambda c: c.regularization.activation_gradient.strength > 0,
        "regularization.activation_gradient.strength is 0",
    ),
)


def _weight_rules(name: str, strengths: str) -> list[Rule]:
    """Rules of the fields of one block of `regularization.weight`."""
    block = f"regularization.weight.{name}"
    extra = {"group_lasso": "weighted_by_size", "threshold": "release_epoch"}.get(name)
    names = ["first_epoch", "last_epoch", "every_n_epochs", *([extra] if extra else [])]
    beyond = ["first_epoch", *(["release_epoch"] if name == "threshold" else [])]
    return [
        Rule(
            " ".join(f"{block}.{field}" for field in names),
            lambda c: len(c.regularization.weight[name][strengths]) > 0,
            f"{block}.{strengths} is empty",
        ),
        *(
            Rule(
                f"{block}.{field}",
                lambda c, field=field: c.regularization.weight[name][field] < c.total_epochs,
                "training ends before that epoch",
            )
            for field in beyond
        ),
    ]


def _uses_blocks(config):
    weight = config.regularization.weight
    rules = (*weight.group_lasso.strengths, *weight.threshold.limits)
    return any("blocks" in rule for rule in rules)


WEIGHT_RULES = (
    *_weight_rules("l1", "strengths"),
    *_weight_rules("l2", "strengths"),
    *_weight_rules("group_lasso", "strengths"),
    *_weight_rules("threshold", "limits"),
    Rule(
        "regularization.weight.block_shape",
        _uses_blocks,
        "no rule of regularization.weight has the groups 'blocks'",
    ),
)
