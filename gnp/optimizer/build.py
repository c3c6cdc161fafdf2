"""Optimizers by name, as optax gradient transformations."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gnp.errors import UserError, unknown_name

# Name -> (optax constructor, default arguments, arguments that a user may set).
_MOMENTUM_ARGUMENTS = ("momentum", "nesterov")
_ADAM_ARGUMENTS = ("weight_decay", "b1", "b2", "eps")
_OPTIMIZERS = {
    "SGD": (optax.sgd, {}, _MOMENTUM_ARGUMENTS),
    "Momentum": (optax.sgd, {"momentum": 0.9, "nesterov": True}, _MOMENTUM_ARGUMENTS),
    "Adam": (optax.adamw, {"weight_decay": 0.3}, _ADAM_ARGUMENTS),
    "AdamW": (optax.adamw, {"weight_decay": 0.3}, _ADAM_ARGUMENTS),
    "RMSProp": (optax.rmsprop, {}, ("decay", "eps", "momentum", "nesterov", "centered")),
}


def optimizer_names() -> list[str]:
    """The names that `build_optimizer` knows, sorted."""
    return sorted(_OPTIMIZERS)


def build_optimizer(
    name: str,
    opt_params: Mapping[str, Any],
    *,
    decays: Callable[[Any, float], Any] | None = None,
    rates: Callable[[Any], Any] | None = None,
) -> optax.GradientTransformation:
    """An optimizer whose learning rate is set from outside, step by step.

    `set_learning_rate` writes the rate into the optimizer's state before each update, so that the
    rate follows the step of the run even where an update was skipped.

    Args:
      name: one of `optimizer_names()`.
      opt_params: arguments of the optimizer, by optax's names; they override the defaults.
      decays: of the parameters and the optimizer's own weight decay, a tree with the weight decay
        of each; None: its own for all.
      rates: of the parameters, a tree with the factor of each one's learning rate; None: 1 for all.

    Raises:
      UserError: the optimizer or an argument is unknown.
    """
    if name not in _OPTIMIZERS:
        raise unknown_name("optimizer (opt.opt_type)", name, _OPTIMIZERS)
    constructor, defaults, allowed = _OPTIMIZERS[name]
    for argument in opt_params:
        if argument not in allowed:
            raise unknown_name(f"parameter of {name} (opt.opt_params)", argument, allowed)
    if decays is not None and constructor is optax.adamw:
        constructor = functools.partial(_adamw, decays=decays)
    fixed = [p for p in inspect.signature(constructor).parameters if p != "learning_rate"]
    arguments = {**defaults, **opt_params}
    _check_numbers(name, arguments)
    if opt_params.get("nesterov") and not arguments.get("momentum"):
        raise UserError(
            f"opt.opt_params.nesterov of {name} needs a momentum, such as opt.opt_params.momentum="
            "0.9."
        )
    optimizer = optax.inject_hyperparams(constructor, static_args=fixed)
    optimizer = optimizer(learning_rate=0.0, **arguments)
    return optimizer if rates is None else _with_rates(optimizer, rates)


def _with_rates(optimizer, rates):
    """The optimizer with a factor of the learning rate for each parameter, and the same state."""

    def update(gradient, state, params):
        updates, state = optimizer.update(gradient, state, params)
        return jax.tree.map(jnp.multiply, updates, rates(params)), state

    return optax.GradientTransformation(optimizer.init, update)


def _adamw(learning_rate, weight_decay, b1=0.9, b2=0.999, eps=1e-8, *, decays):
    """`optax.adamw` with a weight decay for each of the parameters, and the same state.

    Its own argument `mask` gives a state of another structure, which checkpoints do not fit.
    """

    def decay(updates, params):
        return jax.tree.map(
            lambda update, param, decay: update + decay * param if decay else update,
            updates,
            params,
            decays(params, weight_decay),
        )

    return optax.chain(
        optax.scale_by_adam(b1, b2, eps),
        optax.stateless(decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def set_learning_rate(opt_state: optax.OptState, learning_rate) -> optax.OptState:
    """The state of `build_optimizer`'s optimizer with another learning rate."""
    return opt_state._replace(hyperparams=opt_state.hyperparams | {"learning_rate": learning_rate})


def _check_numbers(name, arguments):
    for argument, value in arguments.items():
        if not isinstance(value, (bool, int, float)):
            raise UserError(
                f"opt.opt_params.{argument} of {name} must be a number or a bool, not {value!r}."
            )
