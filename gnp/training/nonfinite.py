"""A loss or gradient that is not finite: skip the step, roll back, or stop and name the layer."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from gnp.errors import TrainingError
from gnp.regularization import tree
from gnp.regularization.ascent import STEEPEST, Ascent
from gnp.regularization.pruning import Threshold, cut_state
from gnp.training import remedies
from gnp.training.objective import STREAMS, Objective
from gnp.training.state import TrainState

PyTree = Any

POLICIES = ("stop", "skip", "rollback")

_REMEDIES = f"{remedies.SPIKE.capitalize()}; on_nonfinite=skip skips such steps"

_log = logging.getLogger(__name__)


class NonFiniteStep(NamedTuple):
    """A step that was not finite; parameters and optimizer are as they were before it.

    Attributes:
      step: its number, from 1.
      which_pass: 1 at the parameters, 2 at the perturbed ones.
    """

    step: int
    which_pass: int

    def __str__(self) -> str:
        where = "in pass 1" if self.which_pass == 1 else "at the perturbed parameters"
        return f"Step {self.step}: loss or gradient is not finite {where}"


class Rollback(Exception):
    """Go back to the last checkpoint and skip a step.

    Attributes:
      step: its number, from 1.
    """

    def __init__(self, step: int):
        super().__init__(f"Step {step} is not finite; going back to the last checkpoint.")
        self.step = step


@dataclasses.dataclass(frozen=True)
class NonFinitePolicy:
    """What a run does about a step that is not finite.

    Attributes:
      action: one of `POLICIES`. `skip`: the step changes nothing and is counted; `rollback`: go
        back to the last checkpoint and skip the step; `stop`: end with an error.
      max_rollbacks: stop after so many.
    """

    action: str = "stop"
    max_rollbacks: int = 3

    def act(
        self,
        found: NonFiniteStep,
        num_rollbacks: int,
        explained: Callable[[], TrainingError],
    ) -> None:
        """Acts on a step that was not finite.

        Args:
          found: the step.
          num_rollbacks: how many there were before.
          explained: makes the error with which training stops.

        Raises:
          Rollback: the step is to be skipped after a rollback.
          TrainingError: training stops.
        """
        if self.action == "skip":
            _log.warning("%s; skipped.", found)
            return
        if self.action == "rollback" and num_rollbacks < self.max_rollbacks:
            raise Rollback(found.step)
        raise explained()


def with_rollbacks(train: Callable[[frozenset[int]], Any]) -> Any:
    """Calls `train`, and again after each rollback.

    Args:
      train: a function of the steps to skip. It trains from the last checkpoint.
    """
    skipped_steps: frozenset[int] = frozenset()
    while True:
        try:
            return train(skipped_steps)
        except Rollback as rollback:
            _log.warning("%s", rollback)
            skipped_steps |= {rollback.step}


def guarded(update: Callable) -> Callable:
    """A train step that keeps the state as it was where a loss or gradient is not finite.

    Args:
      update: `(state, batch) -> (state, metrics)`, the metrics with `loss`,
        `gradient_norm_mixed` and, if there was a pass at θ, `gradient_norm_clean`.

    Returns:
      A function like it. The step counts in the state either way. The metrics have
      `parameter_norm`, `nonfinite_pass` (0: all is finite; 1: the pass at θ is not; 2: the
      perturbed pass is not) and `skipped_steps` too.
    """

    def step(state, batch):
        updated, metrics = update(state, batch)
        loss, mixed = metrics["loss"], metrics["gradient_norm_mixed"]
        clean = metrics.get("gradient_norm_clean")
        first = True if clean is None else jnp.isfinite(loss) & jnp.isfinite(clean)
        second = jnp.isfinite(loss) & jnp.isfinite(mixed)
        bad_pass = jnp.where(first, jnp.where(second, 0, 2), 1)
        kept = jax.tree.map(lambda new, old: jnp.where(bad_pass == 0, new, old), updated, state)
        skipped = state.skipped + (bad_pass > 0).astype(jnp.int32)
        metrics |= {
            "parameter_norm": tree.global_norm(kept.params),
            "nonfinite_pass": bad_pass,
            "skipped_steps": skipped,
        }
        return kept.replace(step=state.step + 1, skipped=skipped), metrics

    return step


def skip_step(state: TrainState, threshold: Threshold | None = None) -> TrainState:
    """The state after a step that is not taken. It counts; an epoch that ends with it is pruned."""
    if threshold is not None:
        state = cut_state(state, threshold, state.step)
    return state.replace(step=state.step + 1, skipped=state.skipped + 1)


def explain(
    found: NonFiniteStep,
    objective: Objective,
    state: TrainState,
    batch: Any,
    *,
    r: float,
    ascent: Ascent = STEEPEST,
) -> TrainingError:
    """An error that names step, pass and layer.

    Args:
      found: the step.
      objective: the loss.
      state: the state, as it was left by the step or a later one.
      batch: this process's share of the step's batch.
      r: radius of the perturbation at that step.
      ascent: its direction.
    """
    state, batch = jax.device_get((state, batch))
    objective = dataclasses.replace(objective, model=_without_remat(objective.model, state, batch))
    rngs = {name: jax.random.PRNGKey(0) for name in STREAMS}

    def loss_fn(params):
        return objective(params, state.batch_stats, batch, rngs, frozen=state.frozen)[0]

    params = state.params
    if found.which_pass == 2:
        gradient = jax.grad(loss_fn)(params) if ascent.needs_gradient else None
        start, key = tree.precise(params), jax.random.PRNGKey(0)
        move = ascent.direction(start, gradient, state.ascent_memory, key)
        params = tree.add(start, move, r)
    return TrainingError(
        f"{found}; the first bad place is {first_bad_layer(loss_fn, params)}. {_REMEDIES}."
    )


def _without_remat(model, state, batch):
    """The model with its switch off, which hides what is in its blocks, if it can do without."""
    if getattr(model, "remat", None) is not True:
        return model
    plain = model.clone(remat=False)
    shapes = jax.eval_shape(
        lambda images: plain.init(jax.random.PRNGKey(0), images, train=False), batch["image"]
    )
    is_same = jax.tree.structure(shapes["params"]) == jax.tree.structure(dict(state.all_params))
    return plain if is_same else model


def first_bad_layer(loss_fn: Callable[[PyTree], jax.Array], params: PyTree) -> str:
    """Names the layer where the numbers go wrong, in words that end a sentence.

    Runs the loss and its gradient once more, operation by operation, and looks at the parameters,
    then at what each module returns in the order of the computation, then at the gradient in the
    reverse order.

    Args:
      loss_fn: `params -> loss`, which applies a Flax module to a batch.
      params: the parameters.
    """
    if bad := [path for path, leaf in _flat(params).items() if not _is_finite(leaf)]:
        return f"the parameter {bad[0]}"
    modules = []

    def watch(call, args, kwargs, context):
        if context.method_name == "__call__" and not all(map(_is_finite, jax.tree.leaves(args))):
            modules.append(("the input of " + _name(context.module), False))
        result = call(*args, **kwargs)
        if context.method_name == "__call__":
            modules.append((_name(context.module), _is_finite(result)))
        return result

    with nn.intercept_methods(watch):
        loss = loss_fn(params)
    for name, is_finite in modules:
        if not is_finite:
            return f"the layer {name}" if not name.startswith("the input") else name
    if not _is_finite(loss):
        return "the loss itself, though all layers are finite"
    gradient = _flat(jax.grad(loss_fn)(params))
    order = {name: position for position, (name, _) in enumerate(modules)}
    bad = [path for path, leaf in gradient.items() if not _is_finite(leaf)]
    if not bad:
        return "no layer: computed again, all is finite"
    # Backward, the last layer of the network comes first.
    first = max(bad, key=lambda path: order.get(path.rpartition("/")[0], -1))
    return f"the gradient of {first}"


def _flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def _name(module):
    return "/".join(module.path) or type(module).__name__


def _is_finite(value):
    # What is traced for a scan has no value yet; the module around it will tell.
    return all(
        bool(jnp.isfinite(leaf).all())
        for leaf in jax.tree.leaves(value)
        if hasattr(leaf, "dtype")
        and jnp.issubdtype(leaf.dtype, jnp.inexact)
        and not isinstance(leaf, jax.core.Tracer)
    )
