"""Parameters that training does not change (`opt.freeze`).

A train state keeps them apart from its `params`. So there is no gradient by them, no optimizer
state, no decay and no perturbation of them, and they are in no norm.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn
from flax import traverse_util

from gnp.errors import UserError
from gnp.parameter_paths import matching

_FIELD = "opt.freeze"

_log = logging.getLogger(__name__)


def split(params: Mapping, patterns: Sequence[str]) -> tuple[Mapping, Mapping | None]:
    """The parameters that are trained, and those that one of the patterns matches.

    Args:
      params: nested dictionaries.
      patterns: as in `paths.matching`, of paths such as `blocks/0/mlp/fc1/kernel`; none: all are
        trained, and there is None in the place of the others.

    Raises:
      UserError: a pattern matches nothing, or nothing would be trained.
    """
    if not patterns:
        return params, None
    flat = _flat(params)
    frozen = set(matching(patterns, flat, _FIELD))
    if len(frozen) == len(flat):
        raise UserError(
            f"{_FIELD} is {tuple(patterns)}, which matches all parameters, so that nothing would "
            "be trained; choose fewer."
        )
    return _part(flat, flat.keys() - frozen), _part(flat, frozen)


def split_like(params: Mapping, frozen: Mapping | None) -> tuple[Mapping, Mapping | None]:
    """The same, where `frozen` tells which parameters are."""
    if frozen is None:
        return params, None
    flat = _flat(params)
    return _part(flat, flat.keys() - _flat(frozen).keys()), _part(flat, _flat(frozen))


def merged(params: Mapping, frozen: Mapping | None) -> Mapping:
    """The parameters of the whole model, of both parts."""
    if frozen is None:
        return params
    return traverse_util.unflatten_dict(_flat(params) | _flat(frozen), sep="/")


def frozen_statistics(
    params: Mapping, frozen: Mapping | None
) -> contextlib.AbstractContextManager[None]:
    """Lets frozen batch norms use their running statistics, which stay, while a model is applied.

    A batch norm is frozen if all of its parameters are. Otherwise the layers behind it would be
    trained with other statistics than evaluation uses.

    Args:
      params, frozen: the two parts of the parameters.
    """
    if frozen is None:
        return contextlib.nullcontext()
    still = {path.rpartition("/")[0] for path in _flat(frozen)}
    still -= {path.rpartition("/")[0] for path in _flat(params)}

    def call(next_call, args, kwargs, context):
        module = context.module
        is_norm = isinstance(module, nn.BatchNorm) and context.method_name == "__call__"
        if is_norm and "/".join(module.path) in still:
            # Flax takes this from the field or from the call, but not from both.
            object.__setattr__(module, "use_running_average", None)
            args, kwargs = args[:1], kwargs | {"use_running_average": True}
        return next_call(*args, **kwargs)

    return nn.intercept_methods(call)


def log_counts(params: Mapping, frozen: Mapping | None) -> None:
    """Logs how many parameters are frozen."""
    if frozen is None:
        return
    kept, trained = jax.tree.leaves(frozen), jax.tree.leaves(params)
    _log.info(
        "%s: %d of %d parameters (%d of %d numbers) are frozen.",
        _FIELD,
        len(kept),
        len(kept) + len(trained),
        sum(leaf.size for leaf in kept),
        sum(leaf.size for leaf in (*kept, *trained)),
    )


def _flat(tree: Any):
    return traverse_util.flatten_dict(tree, sep="/")


def _part(flat, paths):
    return traverse_util.unflatten_dict({p: flat[p] for p in flat if p in paths}, sep="/")
