"""Optimizers by name: functions of the learning rate and of `opt.opt_params`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from gnp.errors import UserError, unknown_name
from gnp.optimizer.muon import matrices
from gnp.registering import registering

PyTree = Any
# Of the parameters and an optimizer's own weight decay: the weight decay of each of them.
Decays = Callable[[PyTree, float], PyTree]


def _sgd(learning_rate, momentum=None, nesterov=False):
    return optax.sgd(learning_rate, momentum, nesterov)


def _momentum(learning_rate, momentum=0.9, nesterov=True):
    return optax.sgd(learning_rate, momentum, nesterov)


def _rmsprop(learning_rate, decay=0.9, eps=1e-8, momentum=None, nesterov=False, centered=False):
    return optax.rmsprop(
        learning_rate, decay, eps, momentum=momentum, nesterov=nesterov, centered=centered
    )


def _adamw(learning_rate, weight_decay=0.3, b1=0.9, b2=0.999, eps=1e-8, *, decays=None):
    return optax.chain(
        optax.scale_by_adam(b1, b2, eps),
        weight_decays(weight_decay, decays),
        optax.scale_by_learning_rate(learning_rate),
    )


def _nadamw(learning_rate, weight_decay=1e-4, b1=0.9, b2=0.999, eps=1e-8, *, decays=None):
    return optax.chain(
        optax.scale_by_adam(b1, b2, eps, nesterov=True),
        weight_decays(weight_decay, decays),
        optax.scale_by_learning_rate(learning_rate),
    )


def _lamb(learning_rate, weight_decay=0.0, b1=0.9, b2=0.999, eps=1e-6, *, decays=None):
    return optax.chain(
        optax.scale_by_adam(b1, b2, eps),
        weight_decays(weight_decay, decays),
        optax.scale_by_trust_ratio(),
        optax.scale_by_learning_rate(learning_rate),
    )


def _lion(learning_rate, weight_decay=1e-3, b1=0.9, b2=0.99, *, decays=None):
    return optax.chain(
        optax.scale_by_lion(b1, b2),
        weight_decays(weight_decay, decays),
        optax.scale_by_learning_rate(learning_rate),
    )


def _muon(learning_rate, weight_decay=0.0, beta=0.95, consistent_rms=0.2, *, decays=None):
    direction = optax.contrib.muon(
        -1.0,  # the update itself, which is scaled below
        beta=beta,
        consistent_rms=consistent_rms,
        muon_weight_dimension_numbers=matrices,
    )
    return optax.chain(
        direction,
        weight_decays(weight_decay, decays),
        optax.scale_by_learning_rate(learning_rate),
    )


def _prodigy(learning_rate, weight_decay=0.0, b1=0.9, b2=0.999, estim_lr0=1e-6, estim_lr_coef=1.0):
    return optax.contrib.prodigy(
        learning_rate,
        betas=(b1, b2),
        weight_decay=weight_decay,
        estim_lr0=estim_lr0,
        estim_lr_coef=estim_lr_coef,
        safeguard_warmup=True,  # without it, a first step of rate 0 makes the estimate nan
    )


_OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "SGD": _sgd,
    "Momentum": _momentum,
    "RMSProp": _rmsprop,
    "Adam": _adamw,
    "AdamW": _adamw,
    "NAdamW": _nadamw,
    "LAMB": _lamb,
    "Lion": _lion,
    "Muon": _muon,
    "Prodigy": _prodigy,
}

# Why an optimizer such as optax.contrib.schedule_free_adamw is refused, after its name.
SCHEDULE_FREE = (
    "is schedule-free: it is to be evaluated at other parameters than it trains, with batch "
    "statistics of their own, which runs do not keep; choose another, or set ema_decay, which "
    "averages the parameters with any optimizer."
)

# Those that estimate one step size for all parameters.
WITH_ONE_RATE = ("Prodigy",)


def register_optimizer(name: str) -> Callable[[Callable], Callable]:
    """Registers a function that makes an optimizer, as a value of `opt.opt_type`.

    >>> @gnp.register_optimizer("SignSGD")
    ... def sign_sgd(learning_rate, weight_decay=0.0, *, decays=None):
    ...     return optax.chain(
    ...         optax.scale_by_sign(),
    ...         weight_decays(weight_decay, decays),
    ...         optax.scale_by_learning_rate(learning_rate),
    ...     )
    ...
    >>> "SignSGD" in optimizer_names()
    True

    The function is called with `learning_rate`, a scalar that follows the schedule, and with the
    fields of `opt.opt_params`, and returns an `optax.GradientTransformation`. If it takes `decays`
    and hands it to `weight_decays`, then `opt.groups` and `no_weight_decay_on_bn` rule its weight
    decay. Learning rates that differ between parameters need no more: its updates are scaled.

    Raises:
      UserError: the name is registered already.
    """
    return registering(_OPTIMIZERS, "optimizer", name)


def weight_decays(
    weight_decay: float, decays: Decays | None = None
) -> optax.GradientTransformation:
    """Adds decayed parameters to an update that is not yet scaled by the learning rate.

    `optax.add_decayed_weights` has a mask, which gives a state of another structure.

    >>> decay = weight_decays(0.1)
    >>> params = jnp.array([1.0, 2.0])
    >>> print(decay.update(jnp.zeros(2), decay.init(params), params)[0])
    [0.1 0.2]

    Args:
      weight_decay: of all parameters.
      decays: makes of it the weight decay of each; None: it is that of all.
    """
    if decays is None:
        return optax.add_decayed_weights(weight_decay)

    def decayed(updates, params):
        return jax.tree.map(
            lambda update, param, decay: update + decay * param if decay else update,
            updates,
            params,
            decays(params, weight_decay),
        )

    return optax.stateless(decayed)


def optimizer_names() -> list[str]:
    """The values of `opt.opt_type`, sorted."""
    return sorted(_OPTIMIZERS)


def optimizer_named(name: str) -> Callable[..., optax.GradientTransformation]:
    """The function that makes an optimizer.

    Raises:
      UserError: the name is unknown.
    """
    if name not in _OPTIMIZERS and name.lower().replace("_", "").startswith("schedulefree"):
        raise UserError(f"The optimizer {name} {SCHEDULE_FREE}")
    if name not in _OPTIMIZERS:
        raise unknown_name("optimizer (opt.opt_type)", name, _OPTIMIZERS)
    return _OPTIMIZERS[name]


def takes_decays(name: str) -> bool:
    """Whether the weight decay of an optimizer may differ between parameters."""
    return "decays" in inspect.signature(optimizer_named(name)).parameters


def weight_decay_of(name: str, opt_params: Mapping[str, Any]) -> Any:
    """The weight decay of an optimizer's own; 0: it has none."""
    parameters = inspect.signature(optimizer_named(name)).parameters
    own = parameters["weight_decay"].default if "weight_decay" in parameters else 0
    return opt_params.get("weight_decay", own)
