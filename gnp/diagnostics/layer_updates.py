"""What the next training step would do to each layer."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.regularization import tree
from gnp.training import parallel
from gnp.training.monitoring.health import LAYER_NORMS, layer_names, layer_norms
from gnp.training.settings.run import Settings
from gnp.training.state import TrainState
from gnp.training.step_programs import StepPrograms


def next_step_norms(
    settings: Settings, model: nn.Module, source: Any, state: TrainState
) -> dict[str, dict[str, float]]:
    """Norms of parameters, gradient and update of each layer in the step that comes next.

    The step is taken as training would, with its penalty, clipping and momentum; after the end of
    training, the last step is taken again.

    Args:
      settings: of the run, with `logging.layer_norms_every` above 0.
      model: the classifier.
      source: its training set is the data set.
      state: on all devices; it stays as it is.

    Returns:
      By the layer's path: `parameter_norm`, `gradient_norm` (mixed, before clipping) and
      `update_norm`.

    Raises:
      UserError: the training set is smaller than a batch.
    """
    length = settings.length(source.num_train_images)
    step = min(int(state.step), length.total_steps - 1)
    epoch, index = divmod(step, length.steps_per_epoch)
    schedule = settings.step_schedule(length.steps_per_epoch, steps_per_loop=1)
    block = schedule.blocks(state.key, step, epoch)[0]
    programs = StepPrograms(settings, model, length.steps_per_epoch, source.prepare)
    batch = parallel.split(next(iter(source.train_batches(epoch, index))))
    # The step takes its state's buffers, so it gets a copy.
    copy = jax.tree.map(jnp.copy, state).replace(step=jnp.full_like(state.step, step))
    device_data = parallel.replicate(source.device_data)
    updated, metrics = programs.take(block, copy, device_data, batch)
    norms = {
        "parameter_norm": layer_norms(state.params),
        "gradient_norm": metrics[LAYER_NORMS],
        "update_norm": layer_norms(tree.add(updated.params, state.params, -1)),
    }
    return {
        name: {kind: float(norm[row]) for kind, norm in jax.device_get(norms).items()}
        for row, name in enumerate(layer_names(state.params))
    }
