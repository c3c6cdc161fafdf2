"""Distillation: training towards what another, trained model says of the same images.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (arXiv 1503.02531), eq. 1
and section 2: soft targets at a temperature, their gradient scaled by its square.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

# What a batch calls the teacher's logits.
TEACHER_LOGITS = "teacher_logits"


@dataclasses.dataclass(frozen=True)
class Distillation:
    """How the loss of an image is mixed with the distance to the teacher.

    Attributes:
      weight: of the teacher's term, 0 to 1; the rest is that of the labels.
      temperature: what both models' logits are divided by.
    """

    weight: float
    temperature: float

    def mixed(self, of_labels: jax.Array, logits: jax.Array, teacher: jax.Array) -> jax.Array:
        """The loss of each image: (1 - w) L + w T² KL(teacher at T || student at T).

        Args:
          of_labels: batch; the loss L against the labels.
          logits: batch x classes, the student's.
          teacher: batch x classes, the teacher's logits.
        """
        student = jax.nn.log_softmax(_fine(logits) / self.temperature)
        target = jax.nn.log_softmax(_fine(teacher) / self.temperature)
        distance = jnp.sum(jnp.exp(target) * (target - student), axis=-1)
        return (1 - self.weight) * of_labels + self.weight * self.temperature**2 * distance


def _fine(logits):
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained model.

    Attributes:
      model: the classifier.
      variables: its `params` and `batch_stats`.
      mean, std: the constants, per channel, by which its images are normalized.
    """

    model: nn.Module
    variables: Mapping[str, Any]
    mean: Sequence[float]
    std: Sequence[float]


class TaughtSource:
    """A data source whose training batches hold the teacher's logits too.

    The teacher sees each image as the student does, augmented, and is evaluated once in a step,
    whatever passes follow. Everything else is the source's own.
    """

    def __init__(self, source: Any, teacher: Teacher):
        self._source = source
        self._teacher = teacher
        self.device_data = {"source": source.device_data, "teacher": dict(teacher.variables)}

    def __getattr__(self, name):
        return getattr(self._source, name)

    def prepare(self, device_data: Any, batch: Any) -> dict[str, jax.Array]:
        """Completes a training batch, see `gnp.ds_pipeline.source.DataSource`."""
        batch = self._source.prepare(device_data["source"], batch)
        images = self._as_teacher_sees(batch["image"])
        logits = self._teacher.model.apply(device_data["teacher"], images, train=False)
        return {**batch, TEACHER_LOGITS: logits}

    def prepare_eval(self, device_data: Any, batch: Any) -> dict[str, jax.Array]:
        """The same for evaluation, without a teacher."""
        return self._source.prepare_eval(device_data["source"], batch)

    def _as_teacher_sees(self, images):
        """Images with the student's normalization, with the teacher's."""
        mean, std = map(jnp.asarray, (self._source.mean, self._source.std))
        their_mean, their_std = map(jnp.asarray, (self._teacher.mean, self._teacher.std))
        return ((images * std + mean) - their_mean) / their_std
