"""Distillation: the loss in closed form, and batches with the teacher's logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.ds_pipeline.source import DataSource
from gnp.training.distillation import TEACHER_LOGITS, Distillation, TaughtSource, Teacher
from gnp.training.objective import Objective
from tests.training.toy import ToyModel, ToySource

STUDENT = jnp.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
TEACHER = jnp.array([[2.0, 0.0, -1.0], [1.0, 1.0, 4.0]])
OF_LABELS = jnp.array([0.3, 0.7])


def softmax(logits, temperature):
    powers = np.exp(np.asarray(logits, np.float64) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def test_the_loss_is_that_of_the_paper():
    found = Distillation(0.9, 4.0).mixed(OF_LABELS, STUDENT, TEACHER)
    p, q = softmax(TEACHER, 4), softmax(STUDENT, 4)
    divergence = np.sum(p * np.log(p / q), axis=-1)
    np.testing.assert_allclose(found, 0.1 * OF_LABELS + 0.9 * 16 * divergence, rtol=1e-5)


def test_the_gradient_is_the_difference_of_the_soft_targets():
    """Equation 2 of the paper, times the squared temperature."""

    def loss(logits):
        return jnp.sum(Distillation(1.0, 4.0).mixed(OF_LABELS, logits, TEACHER))

    expected = 4 * (softmax(STUDENT, 4) - softmax(TEACHER, 4))
    np.testing.assert_allclose(jax.grad(loss)(STUDENT), expected, atol=1e-6)


@pytest.mark.parametrize(("weight", "teacher"), [(0.0, TEACHER), (1.0, STUDENT)])
def test_what_is_learnt_where_the_teacher_says_nothing_new(weight, teacher):
    found = Distillation(weight, 4.0).mixed(OF_LABELS, STUDENT, teacher)
    np.testing.assert_allclose(found, (1 - weight) * OF_LABELS, atol=1e-6)


def test_half_precision_logits_are_compared_in_float32():
    found = Distillation(1.0, 4.0).mixed(OF_LABELS, STUDENT.astype(jnp.bfloat16), TEACHER)
    assert found.dtype == jnp.float32


class NormalizedSource(ToySource, DataSource):
    mean, std, device_data = (0.5,), (0.25,), {"shift": np.float32(1)}

    def prepare(self, device_data, batch):
        return batch | {"image": batch["image"] + device_data["shift"]}


def test_the_teacher_sees_the_student_s_images_normalized_as_its_own():
    model, batch = ToyModel(), next(NormalizedSource().train_batches(0))
    variables = model.init(jax.random.key(0), batch["image"], train=False)
    source = TaughtSource(NormalizedSource(), Teacher(model, variables, (0.1,), (0.5,)))
    assert source.num_train_images == 70
    prepared = source.prepare(source.device_data, batch)
    images = batch["image"] + 1
    np.testing.assert_array_equal(prepared["image"], images)
    expected = model.apply(variables, (images * 0.25 + 0.5 - 0.1) / 0.5, train=False)
    np.testing.assert_allclose(prepared[TEACHER_LOGITS], expected, rtol=1e-5)


def test_the_objective_mixes_before_images_are_weighted():
    model, batch = ToyModel(use_batch_norm=False), next(ToySource().train_batches(0))
    params = model.init(jax.random.key(0), batch["image"], train=False)["params"]
    logits = model.apply({"params": params}, batch["image"], train=False)
    batch |= {TEACHER_LOGITS: jnp.zeros_like(logits), "weight": jnp.arange(16) / 8}
    distillation = Distillation(0.5, 2.0)
    objective = Objective(model, distillation=distillation)
    _, aux = objective(params, {}, batch, {})
    of_labels = -jnp.sum(batch["label"] * jax.nn.log_softmax(logits), axis=-1)
    mixed = distillation.mixed(of_labels, logits, batch[TEACHER_LOGITS])
    np.testing.assert_allclose(aux["loss"], jnp.mean(mixed * batch["weight"]), rtol=1e-6)
