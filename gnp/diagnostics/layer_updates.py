"""What the next training step would do to each layer."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.optimizer.build import build_optimizer
from gnp.regularization import tree
from gnp.training import parallel
from gnp.training.health import LAYER_NORMS, layer_names, layer_norms
from gnp.training.state import TrainState
from gnp.training.step_kinds import StepKinds, count_steps


def next_step_norms(
    config: Any, model: nn.Module, source: Any, state: TrainState
) -> dict[str, dict[str, float]]:
    """Norms of parameters, gradient and update of each layer in the step that comes next.

    The step is taken as training would, with its penalty, clipping and momentum; after the end of
    training, the last step is taken again.

    Args:
      config: the resolved config, with `logging.layer_norms_every` above 0.
      model: the classifier.
      source: its training set is the data set.
      state: on all devices; it stays as it is.

    Returns:
      By the layer's path: `parameter_norm`, `gradient_norm` (mixed, before clipping) and
      `update_norm`.

    Raises:
      UserError: the training set is smaller than a batch.
    """
    steps_per_epoch = count_steps(config.batch_size, source.num_train_images)
    last = config.total_epochs * steps_per_epoch - 1
    epoch, index = divmod(min(int(state.step), last), steps_per_epoch)
    optimizer = build_optimizer(config.opt.opt_type, config.opt.opt_params)
    kinds = StepKinds(config, model, optimizer, steps_per_epoch, source.prepare)
    step = kinds.of_epoch(state.key, epoch)[index].one
    batch = parallel.split(next(iter(source.train_batches(epoch, index))))
    # The step takes its state's buffers, so it gets a copy.
    copy = jax.tree.map(jnp.copy, state).replace(
        step=jnp.full_like(state.step, epoch * steps_per_epoch + index)
    )
    updated, metrics = step(copy, parallel.replicate(source.device_data), batch)
    norms = {
        "parameter_norm": layer_norms(state.params),
        "gradient_norm": metrics[LAYER_NORMS],
        "update_norm": layer_norms(tree.add(updated.params, state.params, -1)),
    }
    return {
        name: {kind: float(norm[row]) for kind, norm in jax.device_get(norms).items()}
        for row, name in enumerate(layer_names(state.params))
    }
