"""Fields that are set but have no effect together with the others: nothing is ignored silently."""

from collections.abc import Mapping
from typing import Any

from gnp.errors import UserError
from gnp.main.fields.data_effect_rules import DATA_RULES
from gnp.main.fields.effect_rules import PENALTY_RULES, TRAINING_RULES, WEIGHT_RULES
from gnp.runs.folder import flatten

RULES = (*PENALTY_RULES, *TRAINING_RULES, *WEIGHT_RULES, *DATA_RULES)


def check_effects(config: Any, defaults: Any) -> list[str]:
    """Checks that each field that is not at its default has an effect.

    Args:
      config: the resolved config; its names are known to exist.
      defaults: every field with its default.

    Returns:
      Sentences about fields that have none, where training is still what the config says.

    Raises:
      UserError: without the effect of a field, training would not be what the config says.
    """
    changed = _changed(config, defaults)
    warnings = {}
    for rule in RULES:
        for field in rule.fields.split():
            if field not in changed or rule.has_effect(config):
                continue
            sentence = f"{field} is {changed[field]!r}, but {rule.otherwise}."
            if rule.is_error:
                raise UserError(sentence)
            warnings.setdefault(field, f"{sentence[:-1]}; it has no effect.")
    return list(warnings.values())


def _changed(config: Any, defaults: Any) -> Mapping[str, Any]:
    """The fields with another value than by default."""
    before = flatten(defaults.to_dict())
    after = flatten(config.to_dict())
    return {field: after[field] for field in before if after[field] != before[field]}
