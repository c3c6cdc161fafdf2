"""Learning rates and weight decay that differ between parameters (`opt.groups`, `opt.layer_decay`).

With layer-wise decay (BEiT, arXiv 2106.08254) the rate of a layer is that of the next one times a
factor: of L layers, counted from 0, the l-th has factor^(L − 1 − l) times the learning rate.
"""

import collections
import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import jax
from flax import traverse_util

from gnp.errors import UserError
from gnp.optimizer import weight_decay
from gnp.optimizer.layer_numbers import layers
from gnp.optimizer.optimizers import takes_decays, weight_decay_of
from gnp.parameter_paths import first_matches

PyTree = Any

_FIELD = "opt.groups"
_FORM = "('PATTERN', FACTOR) or ('PATTERN', FACTOR, WEIGHT_DECAY), the numbers 0 or more"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ParameterGroups:
    """What the optimizer does differently to some parameters.

    Attributes:
      rules: `(pattern, factor of the learning rate)` or `(pattern, factor, weight decay)`; the
        first that matches a path counts, the others stay as they are.
      layer_decay: factor between the rates of two layers; 1: none.
      spares_vectors: whether weight decay takes only the parameters of `decay.decayed`.
    """

    rules: Sequence[tuple] = ()
    layer_decay: float = 1.0
    spares_vectors: bool = False

    @classmethod
    def from_config(cls, config: Any) -> "ParameterGroups":
        """What a config asks for.

        Raises:
          UserError: a field has a bad value, or the optimizer's weight decay cannot differ.
        """
        rules, optimizer = config.opt.groups, config.opt.opt_type
        has_decay = weight_decay_of(optimizer, config.opt.opt_params) != 0
        if config.no_weight_decay_on_bn and has_decay and not takes_decays(optimizer):
            raise UserError(
                "no_weight_decay_on_bn spares some parameters, but the weight decay of "
                f"{optimizer} is one for all; set opt.opt_params.weight_decay to 0 and use "
                "l2_regularization, or choose another opt.opt_type."
            )
        for rule in rules:
            if not _is_rule(rule):
                raise UserError(f"{_FIELD} holds {rule!r}; each of its entries is {_FORM}.")
            if len(rule) == 3 and not takes_decays(optimizer):
                raise UserError(
                    f"{_FIELD} sets a weight decay, but {optimizer} has none that may "
                    "differ between parameters; set regularization.weight.l2.strengths, or "
                    "opt.opt_type to AdamW."
                )
        if not 0 < config.opt.layer_decay <= 1:
            raise UserError(
                f"opt.layer_decay is {config.opt.layer_decay}; it must be above 0 and at most 1, "
                "such as 0.75."
            )
        return cls(tuple(rules), config.opt.layer_decay, config.no_weight_decay_on_bn)

    @property
    def are_rates_equal(self) -> bool:
        """Whether all parameters have the learning rate of the schedule."""
        return not self.rules and self.layer_decay == 1

    def rates(self, params: PyTree) -> PyTree:
        """A tree like the parameters: the factor of each one's learning rate.

        Raises:
          UserError: a pattern matches nothing, or the layers of the model are not known.
        """
        flat = traverse_util.flatten_dict(params, sep="/")
        rates = {path: rule[0] for path, rule in self._matches(flat).items()}
        numbers = layers(list(flat)) if self.layer_decay != 1 else dict.fromkeys(flat, 0)
        last = max(numbers.values())
        return traverse_util.unflatten_dict(
            {p: rates.get(p, 1.0) * self.layer_decay ** (last - numbers[p]) for p in flat}, sep="/"
        )

    def decays(self, params: PyTree, own: float) -> PyTree:
        """A tree like the parameters: the weight decay of each.

        Args:
          params: tree of arrays.
          own: the optimizer's weight decay.
        """
        flat = traverse_util.flatten_dict(params, sep="/")
        decays = {path: rule[1] for path, rule in self._matches(flat).items() if len(rule) == 2}
        of_rules = traverse_util.unflatten_dict({p: decays.get(p, own) for p in flat}, sep="/")
        if not self.spares_vectors:
            return of_rules
        return jax.tree.map(
            lambda is_decayed, value: value if is_decayed else 0.0,
            weight_decay.decayed(params),
            of_rules,
        )

    def log_rates(self, params: PyTree) -> None:
        """Logs how many parameters have which learning rate, if they differ."""
        if self.are_rates_equal:
            return
        counts = collections.Counter(jax.tree.leaves(self.rates(params)))
        _log.info(
            "Parameters by their factor of the learning rate: %s.",
            ", ".join(f"{counts[rate]} with {rate:.4g}" for rate in sorted(counts)),
        )

    def _matches(self, flat):
        return first_matches(self.rules, flat, _FIELD)


def _is_rule(rule):
    if not isinstance(rule, tuple) or len(rule) not in (2, 3) or not isinstance(rule[0], str):
        return False
    return all(type(number) in (int, float) and number >= 0 for number in rule[1:])
