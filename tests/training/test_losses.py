"""The losses of the project, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.training import loss as losses
from gnp.training.settings.loss import image_loss_of
from tests.training.toy import ToyModel, ToySource, toy_config, toy_settings

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(5, 4)).astype(np.float32)
LABELS = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0]]


def gradient(loss, logits, labels):
    return jax.grad(lambda z: loss(z, jnp.asarray(labels)).sum())(jnp.asarray(logits))


def test_focal_with_gamma_0_is_the_cross_entropy():
    soft = losses.smooth_labels(LABELS, 0.2)
    found, expected = losses.focal(LOGITS, soft, gamma=0.0), losses.cross_entropy(LOGITS, soft)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(
        gradient(lambda z, y: losses.focal(z, y, gamma=0.0), LOGITS, soft),
        gradient(losses.cross_entropy, LOGITS, soft),
        atol=1e-6,
    )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_at_a_point_computed_by_hand(gamma):
    """Probabilities 3/4 and 1/4; d/dz_1 = (1-p)^gamma (gamma p log p - (1 - p)), appendix B."""
    logits, p = np.log(np.array([[3.0, 1.0]], np.float32)), 0.75
    label = np.array([[1.0, 0.0]])

    def loss(logits, labels):
        return losses.focal(logits, labels, gamma)

    np.testing.assert_allclose(loss(logits, label), [-(0.25**gamma) * np.log(p)], rtol=1e-5)
    slope = 0.25**gamma * (gamma * p * np.log(p) - 0.25)
    np.testing.assert_allclose(gradient(loss, logits, label), [[slope, -slope]], rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.5, 2.0])
def test_focal_has_finite_derivatives_where_the_model_is_certain(gamma):
    label = np.array([[1.0, 0.0]])

    def slope(logits):
        return gradient(lambda z, y: losses.focal(z, y, gamma), logits, label)[0, 0]

    certain = jnp.array([[200.0, -200.0]])
    assert np.isfinite(slope(certain))
    assert np.isfinite(jax.grad(lambda z: slope(z))(certain)).all()


def test_binary_cross_entropy_at_a_point_computed_by_hand():
    """Of probabilities 3/4, 1/2, 1/4; the derivative is (p - y) / C."""
    logits = np.log(np.array([[3.0, 1.0, 1 / 3]], np.float32))
    labels = np.array([[1.0, 0.0, 1.0]])
    found = losses.binary_cross_entropy(logits, labels)
    np.testing.assert_allclose(found, [-(np.log(3 / 4) + np.log(1 / 2) + np.log(1 / 4)) / 3], 1e-6)
    slopes = gradient(losses.binary_cross_entropy, logits, labels)
    np.testing.assert_allclose(slopes, [[-1 / 12, 1 / 6, -1 / 4]], rtol=1e-5)


def test_binary_cross_entropy_of_large_logits_is_finite():
    logits = np.array([[1e4, -1e4]], np.float32)
    np.testing.assert_allclose(losses.binary_cross_entropy(logits, np.array([[0.0, 1.0]])), [1e4])


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "focal"])
def test_mixed_labels_give_the_mixed_loss(name):
    loss, other = losses.loss_named(name), LABELS[::-1]
    found = loss(LOGITS, 0.3 * LABELS + 0.7 * other)
    expected = 0.3 * loss(LOGITS, LABELS) + 0.7 * loss(LOGITS, other)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "focal"])
def test_training_takes_the_loss_with_smoothing_and_weights(name):
    settings = toy_settings(loss=name, label_smoothing=0.1, l2_regularization=0.0)
    batch = next(iter(ToySource().train_batches(0)))
    batch["weight"] = np.arange(len(batch["label"]), dtype=np.float32)
    state = settings.initial_state(ToyModel(), (2, 2, 1))
    objective = settings.loss.objective(ToyModel(), steps_per_epoch=4)
    loss, _ = objective(state.params, state.batch_stats, batch, {})
    logits, _ = ToyModel().apply(state.variables, batch["image"], train=True, mutable="batch_stats")
    of_images = getattr(losses, name)(logits, losses.smooth_labels(batch["label"], 0.1))
    np.testing.assert_allclose(loss, (batch["weight"] * of_images).mean(), rtol=1e-5)


def test_gamma_is_a_field():
    loss = image_loss_of(toy_config(loss="focal", focal_gamma=3.0))
    np.testing.assert_allclose(loss(LOGITS, LABELS), losses.focal(LOGITS, LABELS, 3.0), rtol=1e-6)
    with pytest.raises(UserError, match=r"^focal_gamma is -1.0; it must be at least 0\.$"):
        toy_settings(loss="focal", focal_gamma=-1.0)


def test_a_teacher_and_binary_cross_entropy_exclude_each_other():
    with pytest.raises(UserError, match=r"^distill\.run compares probabilities that sum to one"):
        toy_settings(loss="binary_cross_entropy", **{"distill.run": "runs/teacher"})
