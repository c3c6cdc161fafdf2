"""The penalties of `config.regularization`, built."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import traverse_util

from gnp.errors import UserError
from gnp.regularization.epochs import Epochs
from gnp.regularization.gradient_penalties import GradientPenalties
from gnp.regularization.paths import first_matches
from gnp.regularization.pruning import Threshold, sparsity
from gnp.regularization.weight import WeightPenalty, group_lasso, l1, l2
from gnp.regularization.weight_groups import Groups

PyTree = Any

_FIELD = "regularization.weight."


def weight_penalties(config: Any) -> tuple[WeightPenalty, ...]:
    """Those of `config.regularization.weight` that are on.

    Raises:
      UserError: a field has a bad value.
    """
    weight = config.regularization.weight

    def lasso(parameter, groups):
        return group_lasso(parameter, groups, weighted_by_size=weight.group_lasso.weighted_by_size)

    blocks = {"l1": (l1, False), "l2": (l2, False), "group_lasso": (lasso, True)}
    return tuple(
        WeightPenalty(function, rules, _epochs(weight, name), f"{_FIELD}{name}.strengths")
        for name, (function, has_groups) in blocks.items()
        if (rules := _rules(weight, name, "strengths", has_groups))
    )


def weight_threshold(config: Any, steps_per_epoch: int) -> Threshold | None:
    """That of `config.regularization.weight`; None: there is none.

    Raises:
      UserError: a field has a bad value.
    """
    weight = config.regularization.weight
    rules = _rules(weight, "threshold", "limits", has_groups=True)
    if not rules:
        return None
    epochs, release = _epochs(weight, "threshold"), weight.threshold.release_epoch
    if release is not None and release <= epochs.first + 1:
        raise UserError(
            f"{_FIELD}threshold.release_epoch is {release}, but the first zeros come with the end "
            f"of epoch {epochs.first}; choose {epochs.first + 2} or later."
        )
    return Threshold(rules, epochs, release, steps_per_epoch, f"{_FIELD}threshold.limits")


def gradient_penalties(config: Any) -> GradientPenalties:
    """Those of `config.regularization` that look at gradients.

    Raises:
      UserError: a field has a bad value, or the penalty does not go with `gnp.mode`.
    """
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


def sparsity_figures(config: Any) -> Callable[[PyTree], dict[str, float]]:
    """A function of the parameters: shares of zeros among those that may become sparse.

    It returns what `gnp.regularization.pruning.sparsity` does, the names after
    `sparsity/`; nothing if neither L1 nor group lasso nor a threshold is on.
    """
    weight = config.regularization.weight
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
    return [(pattern, number, Groups(kind, shape)) for pattern, number, kind in rules]


def _is_rule(rule, length):
    if not isinstance(rule, tuple) or len(rule) != length or not isinstance(rule[0], str):
        return False
    return type(rule[1]) in (int, float) and rule[1] >= 0
