"""The loss of a batch as a function of parameters and batch statistics."""

import dataclasses
import inspect

import jax.numpy as jnp
from flax import linen as nn

from gnp.training import loss as losses

# Random streams that a model may draw from.
STREAMS = ("dropout", "shake", "drop_path")


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of a batch.

    Attributes:
      model: the classifier.
      l2: strength of the L2 term, which is part of the loss and so of every gradient.
      l2_on_kernels_only: leave biases and norm parameters out of it.
      label_smoothing: share of each label spread over all classes.
    """

    model: nn.Module
    l2: float = 0.0
    l2_on_kernels_only: bool = False
    label_smoothing: float = 0.0

    def __call__(self, params, batch_stats, batch, rngs, **model_arguments):
        """Loss, and beside it new statistics, cross entropy and error rate."""
        logits, updated = self.model.apply(
            {"params": params, "batch_stats": batch_stats},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
            rngs=rngs,
            **model_arguments,
        )
        labels = losses.smooth_labels(batch["label"], self.label_smoothing)
        cross_entropy = jnp.mean(losses.cross_entropy(logits, labels))
        loss = cross_entropy
        if self.l2:
            loss += self.l2 * losses.l2_penalty(params, kernels_only=self.l2_on_kernels_only)
        aux = {
            "batch_stats": updated.get("batch_stats", {}),
            "loss": cross_entropy,
            "error_rate": jnp.mean(losses.top_k_errors(logits, batch["label"])),
        }
        return loss, aux

    @property
    def takes_true_gradient(self) -> bool:
        """Whether the model is a shake model, which mixes alike forward and backward on request."""
        return "true_gradient" in inspect.signature(type(self.model).__call__).parameters
