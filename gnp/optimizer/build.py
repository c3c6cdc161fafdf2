"""Optimizers whose learning rate is set from outside, as optax gradient transformations."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gnp.errors import UserError, reason, unknown_name
from gnp.optimizer.optimizers import WITH_ONE_RATE, optimizer_named


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

    >>> optimizer = build_optimizer("Momentum", {"momentum": 0.9})
    >>> params = jnp.zeros(2)
    >>> state = set_learning_rate(optimizer.init(params), 0.1)
    >>> updates, state = optimizer.update(jnp.ones(2), state, params)
    >>> print(updates)
    [-0.19 -0.19]

    Args:
      name: one of `gnp.optimizer.optimizers.optimizer_names()`.
      opt_params: arguments of the optimizer, by optax's names; they override the defaults.
      decays: of the parameters and the optimizer's own weight decay, a tree with the weight decay
        of each; None: its own for all.
      rates: of the parameters, a tree with the factor of each one's learning rate; None: 1 for all.

    Raises:
      UserError: the optimizer or an argument is unknown, or a registered one fails.
    """
    make = optimizer_named(name)
    if rates is not None and name in WITH_ONE_RATE:
        raise UserError(
            f"{name} estimates one step size for all parameters, so opt.groups and "
            "opt.layer_decay do not go with it; leave them at their defaults, or choose another "
            "opt.opt_type."
        )
    parameters = inspect.signature(make).parameters
    _check_arguments(name, parameters, opt_params)
    arguments = dict(opt_params)
    if decays is not None and "decays" in parameters:
        arguments["decays"] = decays

    def with_rate(learning_rate):
        return make(learning_rate=learning_rate, **arguments)

    _check_kind(name, with_rate)
    optimizer = optax.inject_hyperparams(with_rate)(learning_rate=0.0)
    return optimizer if rates is None else _with_rates(optimizer, rates)


def _with_rates(optimizer, rates):
    """The optimizer with a factor of the learning rate for each parameter, and the same state."""

    def update(gradient, state, params):
        updates, state = optimizer.update(gradient, state, params)
        return jax.tree.map(jnp.multiply, updates, rates(params)), state

    return optax.GradientTransformation(optimizer.init, update)


def set_learning_rate(opt_state: optax.OptState, learning_rate) -> optax.OptState:
    """The state of `build_optimizer`'s optimizer with another learning rate."""
    return opt_state._replace(hyperparams=opt_state.hyperparams | {"learning_rate": learning_rate})


def _check_arguments(name, parameters, opt_params):
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [p for p in parameters if p not in ("learning_rate", "decays")]
    if "learning_rate" not in parameters and not takes_any:
        raise UserError(
            f"The optimizer {name} takes no learning_rate; it must be a function of learning_rate "
            "and of opt.opt_params."
        )
    for argument, value in opt_params.items():
        if argument not in known and not takes_any:
            raise unknown_name(f"parameter of {name} (opt.opt_params)", argument, known)
        _check_number(name, argument, value, parameters)
    has_momentum = "momentum" not in parameters or opt_params.get(
        "momentum", parameters["momentum"].default
    )
    if opt_params.get("nesterov") and not has_momentum:
        raise UserError(
            f"opt.opt_params.nesterov of {name} needs a momentum, such as opt.opt_params.momentum="
            "0.9."
        )


def _check_number(name, argument, value, parameters):
    """Whether a value is a number, unless the argument's default tells that it may be none."""
    default = parameters[argument].default if argument in parameters else ""
    is_number = default is None or isinstance(default, bool | int | float)
    if is_number and not isinstance(value, bool | int | float):
        raise UserError(
            f"opt.opt_params.{argument} of {name} must be a number or a bool, not {value!r}."
        )


def _check_kind(name, with_rate):
    """Whether a function makes what optax calls an optimizer."""
    try:
        made = with_rate(0.0)
    except UserError:
        raise
    except Exception as error:  # a registered one may raise anything
        raise UserError(
            f"The optimizer {name} cannot be made ({type(error).__name__}: {reason(error)}); "
            "change opt.opt_params, or the function that is registered."
        ) from error
    if not isinstance(made, optax.GradientTransformation):
        raise UserError(
            f"The optimizer {name} returns {reason(repr(made))}; it must return an "
            "optax.GradientTransformation."
        )
