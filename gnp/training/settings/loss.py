"""Settings of the loss: its L2 term, label smoothing and the penalties of `regularization`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import linen as nn
from flax import traverse_util

from gnp.errors import UserError
from gnp.parameter_paths import first_matches
from gnp.regularization.epochs import Epochs
from gnp.regularization.gradient_penalties import GradientPenalties
from gnp.regularization.pruning import Threshold, sparsity
from gnp.regularization.weight import WeightPenalty, group_lasso, l1, l2
from gnp.regularization.weight_groups import WeightGroups
from gnp.training.distillation import Distillation
from gnp.training.loss import ImageLoss, loss_named
from gnp.training.objective import Objective

PyTree = Any

_FIELD = "regularization.weight."


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """The loss with all penalties but that on the gradient norm.

    Attributes:
      image_loss: of each image.
      l2, l2_on_kernels_only, multi_label, label_smoothing, distillation, weight_penalties,
        gradient_penalties: fields of `Objective`.
      pruned: what `threshold` makes of a number of steps; None: nothing is pruned.
      sparsity: shares of zeros as a function of the parameters.
    """

    image_loss: ImageLoss
    l2: float
    l2_on_kernels_only: bool
    multi_label: bool
    label_smoothing: float
    distillation: Distillation | None
    weight_penalties: Sequence[WeightPenalty]
    gradient_penalties: GradientPenalties
    pruned: Callable[[int], Threshold] | None
    sparsity: Callable[[Any], dict[str, float]]

    def objective(self, model: nn.Module, steps_per_epoch: int) -> Objective:
        """The loss of a batch."""
        return Objective(
            model,
            image_loss=self.image_loss,
            l2=self.l2,
            l2_on_kernels_only=self.l2_on_kernels_only,
            multi_label=self.multi_label,
            label_smoothing=self.label_smoothing,
            distillation=self.distillation,
            weight_penalties=self.weight_penalties,
            gradient_penalties=self.gradient_penalties,
            steps_per_epoch=steps_per_epoch,
        )

    def threshold(self, steps_per_epoch: int) -> Threshold | None:
        """What is pruned; None: nothing."""
        return self.pruned and self.pruned(steps_per_epoch)

    @classmethod
    def from_config(cls, config: Any) -> "LossSettings":
        """What a config asks for.

        Raises:
          UserError: a field has a bad value, or two do not go together.
        """
        _check_scanned_layers(config)
        if config.opt.freeze and config.regularization.weight.threshold.limits:
            raise UserError(
                "opt.freeze keeps parameters as they are, and regularization.weight.threshold sets "
                "some to zero; switch one of them off."
            )
        return cls(
            image_loss=image_loss_of(config),
            l2=config.l2_regularization,
            l2_on_kernels_only=config.no_weight_decay_on_bn,
            multi_label=config.dataset.multi_label,
            label_smoothing=config.label_smoothing,
            distillation=_distillation(config),
            weight_penalties=_weight_penalties(config.regularization.weight),
            gradient_penalties=_gradient_penalties(config),
            pruned=_threshold(config.regularization.weight),
            sparsity=_sparsity_figures(config.regularization.weight),
        )


def image_loss_of(config: Any) -> ImageLoss:
    """The loss of each image that a config names, with its parameters."""
    is_focal = config.loss == "focal"
    return loss_named(config.loss, **({"gamma": config.focal_gamma} if is_focal else {}))


def _distillation(config) -> Distillation | None:
    distill = config.distill
    if distill.run and config.loss == "binary_cross_entropy":
        raise UserError(
            "distill.run compares probabilities that sum to one over the classes, and "
            "loss=binary_cross_entropy has one of each class for itself; choose another loss, or "
            "no teacher."
        )
    if not distill.temperature > 0:
        raise UserError(
            f"distill.temperature is {distill.temperature}; it must be above 0, such as 4."
        )
    return Distillation(distill.weight, distill.temperature) if distill.run else None


def _weight_penalties(weight) -> tuple[WeightPenalty, ...]:
    """Those of the block `regularization.weight` that are on."""

    def lasso(parameter, groups):
        return group_lasso(parameter, groups, weighted_by_size=weight.group_lasso.weighted_by_size)

    blocks = {"l1": (l1, False), "l2": (l2, False), "group_lasso": (lasso, True)}
    return tuple(
        WeightPenalty(function, rules, _epochs(weight, name), f"{_FIELD}{name}.strengths")
        for name, (function, has_groups) in blocks.items()
        if (rules := _rules(weight, name, "strengths", has_groups))
    )


def _threshold(weight) -> Callable[[int], Threshold] | None:
    """That of the block `regularization.weight`, of the steps in an epoch; None: there is none."""
    rules = _rules(weight, "threshold", "limits", has_groups=True)
    if not rules:
        return None
    epochs, release = _epochs(weight, "threshold"), weight.threshold.release_epoch
    if release is not None and release <= epochs.first + 1:
        raise UserError(
            f"{_FIELD}threshold.release_epoch is {release}, but the first zeros come with the end "
            f"of epoch {epochs.first}; choose {epochs.first + 2} or later."
        )
    return lambda steps_per_epoch: Threshold(
        rules, epochs, release, steps_per_epoch, f"{_FIELD}threshold.limits"
    )


def _gradient_penalties(config) -> GradientPenalties:
    """Those of the block `regularization` that look at gradients."""
    block = config.regularization
    if block.parameter_gradient.strength and config.gnp.mode == "exact":
        raise UserError(
            "regularization.parameter_gradient and gnp.mode 'exact' both differentiate the norm of "
            "the same gradient exactly; switch one of them off, or set gnp.mode to 'two_pass'."
        )
    return GradientPenalties(
        input_strength=block.input_gradient.strength,
        input_form=block.input_gradient.form,
        activation_strength=block.activation_gradient.strength,
        activation_patterns=block.activation_gradient.activations,
        parameter_strength=block.parameter_gradient.strength,
    )


def _sparsity_figures(weight) -> Callable[[PyTree], dict[str, float]]:
    """A function of the parameters: shares of zeros among those that may become sparse.

    It returns what `gnp.regularization.pruning.sparsity` returns, the names after
    `sparsity/`; nothing if neither L1 nor group lasso nor a threshold is on.
    """
    blocks = (
        ("l1", "strengths", False),
        ("group_lasso", "strengths", True),
        ("threshold", "limits", True),
    )
    all_rules = [(_rules(weight, *block), f"{_FIELD}{block[0]}.{block[1]}") for block in blocks]

    def kinds_in(params):
        paths = traverse_util.flatten_dict(params, sep="/")
        kinds = {}
        for rules, field in all_rules:
            for path, (_, *groups) in first_matches(rules, paths, field).items():
                found = kinds.setdefault(path, {})
                found |= {g.kind: g for g in groups if g.kind != "elements"}
        return {path: list(kinds[path].values()) for path in paths if path in kinds}

    @jax.jit
    def shares_in(params):
        return sparsity(params, kinds_in(params))

    def figures(params):
        shares = jax.device_get(shares_in(params))
        return {f"sparsity/{name}": float(share) for name, share in shares.items()}

    return figures if any(rules for rules, _ in all_rules) else lambda params: {}


def _epochs(weight, name):
    block = weight[name]
    epochs = Epochs(block.first_epoch, block.last_epoch, block.every_n_epochs)
    epochs.check(f"{_FIELD}{name}")
    return epochs


def _rules(weight, name, field, has_groups) -> Sequence[tuple]:
    """Rules as the config writes them, the names of groups made groups."""
    rules = weight[name][field]
    for rule in rules:
        if not _is_rule(rule, 3 if has_groups else 2):
            form = "('PATTERN', NUMBER, 'GROUPS')" if has_groups else "('PATTERN', NUMBER)"
            raise UserError(
                f"{_FIELD}{name}.{field} holds {rule!r}; each of its entries is {form}, "
                "the number 0 or more."
            )
    if not has_groups:
        return rules
    shape = tuple(weight.block_shape)
    if len(shape) != 2 or any(type(side) is not int or side < 1 for side in shape):
        raise UserError(f"{_FIELD}block_shape is {shape}; it must be two whole numbers above 0.")
    return [(pattern, number, WeightGroups(kind, shape)) for pattern, number, kind in rules]


def _is_rule(rule, length):
    if not isinstance(rule, tuple) or len(rule) != length or not isinstance(rule[0], str):
        return False
    return type(rule[1]) in (int, float) and rule[1] >= 0


def _check_scanned_layers(config):
    """Scanned layers are stacked, so a parameter is not one of a single layer."""
    if not config.model.model_params.get("scan_layers"):
        return
    weight = config.regularization.weight
    if config.no_weight_decay_on_bn:
        raise UserError(
            "no_weight_decay_on_bn tells kernels by their number of dimensions, which scan_layers "
            "changes; switch one of them off."
        )
    if weight.group_lasso.strengths or weight.threshold.limits:
        raise UserError(
            "regularization.weight makes groups within the parameters of one layer, which "
            "scan_layers stacks; switch one of them off."
        )
