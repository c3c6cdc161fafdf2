"""Learning-rate schedules by name, as optax schedules of the step."""

import contextlib
import inspect
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from gnp.errors import UserError, reason, unknown_name
from gnp.registering import registering

# The exponential schedule ends at this share of the base rate.
_EXPONENTIAL_END = 0.012


def _constant(base_lr):
    return optax.constant_schedule(base_lr)


def _stepped(base_lr, steps_per_epoch, milestones):
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

    return rate


def _pair_of_numbers(milestone):
    epoch, factor = milestone
    return float(epoch), float(factor)


def _cosine(base_lr, total_steps, warmup_steps):
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else base_lr,
        peak_value=base_lr,
        warmup_steps=warmup_steps,
        decay_steps=total_steps,
    )


def _exponential(base_lr, total_steps):
    return lambda step: base_lr * jnp.exp(step / total_steps * math.log(_EXPONENTIAL_END))


_SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "stepped": _stepped,
}


def register_schedule(name: str) -> Callable[[Callable], Callable]:
    """Registers a function that makes a learning-rate schedule, as a value of `lr_schedule_type`.

    >>> @gnp.register_schedule("sqrt")
    ... def sqrt(base_lr, total_steps):
    ...     return lambda step: base_lr * jnp.sqrt(1 - step / total_steps)
    ...
    >>> "sqrt" in schedule_names()
    True

    The function takes by name what it needs of `base_lr`, `total_steps`, `warmup_steps`,
    `steps_per_epoch` and `milestones` (`lr_stepped_schedule`). It returns a function of the step,
    an integer of JAX from 0, that returns the rate of that step, a number. If it does not take
    `warmup_steps`, its rates are multiplied by those of the linear warmup.

    Raises:
      UserError: the name is registered already.
    """
    return registering(_SCHEDULES, "schedule", name)


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

    >>> rate = build_schedule(
    ...     "cosine", base_lr=0.1, total_epochs=10, warmup_epochs=1, steps_per_epoch=100
    ... )
    >>> [round(float(rate(step)), 3) for step in (0, 50, 100, 1000)]
    [0.0, 0.05, 0.1, 0.0]

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
      UserError: the name is unknown; `stepped` has no milestones, or others than pairs; or a
        registered function fails or returns something else than a rate.
    """
    if name not in _SCHEDULES:
        raise unknown_name("learning-rate schedule (lr_schedule_type)", name, _SCHEDULES)
    make = _SCHEDULES[name]
    available = {
        "base_lr": base_lr,
        "total_steps": total_epochs * steps_per_epoch,
        "warmup_steps": warmup_epochs * steps_per_epoch,
        "steps_per_epoch": steps_per_epoch,
        "milestones": milestones,
    }
    wanted = inspect.signature(make).parameters
    with _naming_failures(name):
        rate = make(**{field: available[field] for field in available if field in wanted})
        _check_rate(name, rate)
    if "warmup_steps" in wanted:
        return rate
    return _with_linear_warmup(rate, available["warmup_steps"])


def _with_linear_warmup(schedule, warmup_steps):
    if not warmup_steps:
        return schedule
    return lambda step: schedule(step) * jnp.minimum(1.0, step / warmup_steps)


@contextlib.contextmanager
def _naming_failures(name):
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a registered function may raise anything
        raise UserError(
            f"The schedule {name} fails ({type(error).__name__}: {reason(error)}); it is traced by "
            "JAX, so use jnp.where instead of if, and return the rate of a step."
        ) from error


def _check_rate(name, schedule):
    """Whether a schedule returns one real number for each step."""
    found = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    if getattr(found, "shape", None) != () or not jnp.issubdtype(found.dtype, jnp.floating):
        is_array = hasattr(found, "shape")
        what = f"{found.dtype} of the shape {found.shape}" if is_array else reason(repr(found))
        raise UserError(
            f"The schedule {name} returns {what} for a step; it must return one real number, the "
            "learning rate."
        )
