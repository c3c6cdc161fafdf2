"""The loss of a batch as a function of parameters and batch statistics."""

import dataclasses
import functools
import inspect
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn

from gnp.regularization import activation_gradient
from gnp.regularization.gradient_penalties import GradientPenalties, penalized_loss
from gnp.regularization.weight import WeightPenalty
from gnp.training import freeze
from gnp.training import loss as losses
from gnp.training.distillation import TEACHER_LOGITS, Distillation

# Random streams that a model may use.
STREAMS = ("dropout", "shake", "drop_path")


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of a batch, with all penalties but that on the gradient's norm.

    >>> class Linear(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         return nn.Dense(2)(images)
    ...
    >>> variables = Linear().init(jax.random.key(0), jnp.ones((1, 3)), train=False)
    >>> batch = {"image": jnp.zeros((4, 3)), "label": jnp.eye(2)[jnp.array([0, 1, 0, 1])]}
    >>> loss, _ = Objective(Linear())(variables["params"], {}, batch, rngs={})
    >>> print(f"{loss:.3f}")  # ln 2
    0.693

    Attributes:
      model: the classifier.
      image_loss: the loss of each image, of its logits and its label.
      l2: strength of the L2 term, which is part of the loss and so of every gradient.
      l2_on_kernels_only: take only the parameters of `gnp.optimizer.weight_decay.decayed`.
      multi_label: whether an image has any number of the classes.
      label_smoothing: share of each label spread over all classes.
      distillation: how the loss is mixed with the distance to a teacher; None: there is none.
      weight_penalties: further terms that look at the parameters.
      gradient_penalties: terms that look at the gradients of the loss with all terms before.
      steps_per_epoch: steps in an epoch, for weight penalties that come and go.
    """

    model: nn.Module
    image_loss: losses.ImageLoss = losses.cross_entropy
    l2: float = 0.0
    l2_on_kernels_only: bool = False
    multi_label: bool = False
    label_smoothing: float = 0.0
    distillation: Distillation | None = None
    weight_penalties: Sequence[WeightPenalty] = ()
    gradient_penalties: GradientPenalties = dataclasses.field(default_factory=GradientPenalties)
    steps_per_epoch: int = 1

    def __call__(
        self,
        params,
        batch_stats,
        batch,
        rngs,
        *,
        frozen=None,
        step=0,
        average=lambda gradient: gradient,
        **model_arguments,
    ):
        """The loss; and new statistics, loss without penalties, error rate and penalties.

        Args:
          params: the model's parameters that are trained.
          batch_stats: its batch statistics.
          batch: `image` and `label`; `weight`, if the images have different weights in the loss;
            `teacher_logits`, if there is a teacher.
          rngs: a key for each of `STREAMS`.
          frozen: its other parameters; None if there are none.
          step: the number of the step, from 0.
          average: averages a gradient over the devices of a perturbation group.
          **model_arguments: further arguments of the model.

        Raises:
          UserError: a pattern of a penalty matches nothing, or not what the penalty is for.
        """

        def apply(point, **arguments):
            params = point["params"]
            with freeze.frozen_statistics(params, frozen):
                return self.model.apply(
                    {"params": freeze.merged(params, frozen), "batch_stats": batch_stats},
                    point["inputs"],
                    train=True,
                    mutable=["batch_stats"],
                    rngs=rngs,
                    **(model_arguments | arguments),
                )

        def loss_fn(point, **arguments):
            with activation_gradient.added(point["activations"]):
                logits, updated = apply(point, **arguments)
            loss, aux = self._loss(logits, batch, point["params"], step)
            return loss, aux | {"batch_stats": updated.get("batch_stats", {})}

        point = {"params": params, "inputs": batch["image"], "activations": {}}
        penalties = self.gradient_penalties
        if not penalties.wanted:
            return loss_fn(point)
        if penalties.activation_strength:
            point["activations"] = activation_gradient.zeros_for(
                penalties.activation_patterns,
                lambda: apply(point),
                "regularization.activation_gradient.activations",
            )
        true_loss_fn = functools.partial(loss_fn, true_gradient=True)
        loss, aux, terms = penalized_loss(
            loss_fn,
            point,
            penalties,
            average=average,
            true_loss_fn=true_loss_fn if self.takes_true_gradient else None,
        )
        return loss, aux | {"penalties": aux["penalties"] | terms}

    def _loss(self, logits, batch, params, step):
        smoothed = losses.smooth_labels(batch["label"], self.label_smoothing)
        of_images = self.image_loss(logits, smoothed)
        if self.distillation is not None:
            of_images = self.distillation.mixed(of_images, logits, batch[TEACHER_LOGITS])
        loss = data_loss = jnp.mean(of_images * batch.get("weight", 1))
        if self.l2:
            loss += self.l2 * losses.l2_penalty(params, kernels_only=self.l2_on_kernels_only)
        penalties = {}
        if self.weight_penalties:
            epoch = step // self.steps_per_epoch
            penalties["weight"] = sum(term(params, epoch) for term in self.weight_penalties)
            loss += penalties["weight"]
        errors = losses.decision_errors if self.multi_label else losses.top_k_errors
        return loss, {
            "loss": data_loss,
            "error_rate": jnp.mean(errors(logits, batch["label"])),
            "penalties": penalties,
        }

    @property
    def takes_true_gradient(self) -> bool:
        """Whether the model is a shake model, which mixes alike forward and backward on request."""
        return "true_gradient" in inspect.signature(type(self.model).__call__).parameters
