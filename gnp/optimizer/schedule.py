"""Learning-rate schedules by name, as optax schedules of the step."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import optax

from gnp.errors import UserError, unknown_name

# The exponential schedule ends at this share of the base rate.
_EXPONENTIAL_END = 0.012


def _constant(base_lr, total_steps, warmup_steps, **_):
    del total_steps
    return _with_linear_warmup(optax.constant_schedule(base_lr), warmup_steps)


def _stepped(base_lr, total_steps, warmup_steps, *, steps_per_epoch, milestones):
    del total_steps
    if not milestones:
        raise UserError(
            "The stepped schedule needs lr_stepped_schedule, a list of (epoch, factor) pairs."
        )
    try:
        epochs, factors = zip(*sorted(map(_pair_of_numbers, milestones)), strict=True)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"lr_stepped_schedule is {milestones!r}; it must be a list of (epoch, factor) pairs, "
            "such as [(60, 0.2), (120, 0.04)]."
        ) from error
    boundaries = jnp.array(epochs) * steps_per_epoch
    rates = base_lr * jnp.array((1.0, *factors))

    def rate(step):
        return rates[jnp.sum(step > boundaries)]

    return _with_linear_warmup(rate, warmup_steps)


def _pair_of_numbers(milestone):
    epoch, factor = milestone
    return float(epoch), float(factor)


def _cosine(base_lr, total_steps, warmup_steps, **_):
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else base_lr,
        peak_value=base_lr,
        warmup_steps=warmup_steps,
        decay_steps=total_steps,
    )


def _exponential(base_lr, total_steps, warmup_steps, **_):
    def decay(step):
        return base_lr * jnp.exp(step / total_steps * math.log(_EXPONENTIAL_END))

    return _with_linear_warmup(decay, warmup_steps)


def _with_linear_warmup(schedule, warmup_steps):
    if not warmup_steps:
        return schedule
    return lambda step: schedule(step) * jnp.minimum(1.0, step / warmup_steps)


_SCHEDULES = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "stepped": _stepped,
}


def schedule_names() -> list[str]:
    """The names that `build_schedule` knows, sorted."""
    return sorted(_SCHEDULES)


def build_schedule(
    name: str,
    *,
    base_lr: float,
    total_epochs: float,
    warmup_epochs: float,
    steps_per_epoch: int,
    milestones: Sequence[tuple[float, float]] = (),
) -> optax.Schedule:
    """The learning rate as a function of the step, which counts from 0.

    Args:
      name: one of `schedule_names()`. `cosine` falls in half a cosine from the end of the warmup to
        zero at the end of training; `exponential` falls to 1.2 % of `base_lr` at the end;
        `stepped` is `base_lr` times the factor of the last milestone, which counts from the second
        step of its epoch on: the first step still has the rate before it, as in the reference.
      base_lr: learning rate at the end of the warmup.
      total_epochs: length of training.
      warmup_epochs: length of the linear warmup from zero; 0 for none.
      steps_per_epoch: steps in one epoch.
      milestones: (epoch, factor) pairs for `stepped`.

    Raises:
      UserError: the name is unknown, or `stepped` has no milestones, or others than pairs.
    """
    if name not in _SCHEDULES:
        raise unknown_name("learning-rate schedule (lr_schedule_type)", name, _SCHEDULES)
    return _SCHEDULES[name](
        base_lr,
        total_epochs * steps_per_epoch,
        warmup_epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        milestones=milestones,
    )
