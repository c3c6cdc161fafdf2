"""What happens when a loss or a gradient is not finite."""

import dataclasses
from typing import Any, NamedTuple

import jax

from gnp.diagnostics import remedies
from gnp.diagnostics.nonfinite import first_bad_layer
from gnp.errors import TrainingError
from gnp.regularization import tree
from gnp.training.objective import STREAMS, Objective
from gnp.training.state import TrainState

POLICIES = ("stop", "skip", "rollback")

_REMEDIES = f"{remedies.SPIKE}; on_nonfinite=skip leaves such steps out"


class NonFiniteStep(NamedTuple):
    """A step that was not finite; parameters and optimizer are as they were before it.

    Attributes:
      step: its number, from 1.
      which_pass: 1, or 2 for the perturbed parameters.
    """

    step: int
    which_pass: int


class Rollback(Exception):
    """Go back to the last checkpoint and leave a step out.

    Attributes:
      step: its number, from 1.
    """

    def __init__(self, step: int):
        super().__init__(f"Step {step} is not finite; going back to the last checkpoint.")
        self.step = step


def explain(
    found: NonFiniteStep, objective: Objective, state: TrainState, batch: Any, r: float
) -> TrainingError:
    """An error that names step, pass and layer.

    Args:
      found: the step.
      objective: the loss.
      state: the state, as it was left by the step or a later one.
      batch: this process's share of the step's batch.
      r: radius of the perturbation at that step.
    """
    state, batch = jax.device_get((state, batch))
    objective = dataclasses.replace(objective, model=_without_remat(objective.model, state, batch))
    rngs = {name: jax.random.PRNGKey(0) for name in STREAMS}

    def loss_fn(params):
        return objective(params, state.batch_stats, batch, rngs)[0]

    params = state.params
    if found.which_pass == 2:
        params = tree.add(params, tree.unit(jax.grad(loss_fn)(params)), r)
    return TrainingError(
        f"Step {found.step}: loss or gradient is not finite in pass {found.which_pass}; the first "
        f"bad place is {first_bad_layer(loss_fn, params)}. The last checkpoint is intact; "
        f"{_REMEDIES}."
    )


def _without_remat(model, state, batch):
    """The model with its switch off, which hides what is in its blocks, if it can do without."""
    if getattr(model, "remat", None) is not True:
        return model
    plain = model.clone(remat=False)
    shapes = jax.eval_shape(
        lambda images: plain.init(jax.random.PRNGKey(0), images, train=False), batch["image"]
    )
    is_same = jax.tree.structure(shapes["params"]) == jax.tree.structure(dict(state.params))
    return plain if is_same else model
