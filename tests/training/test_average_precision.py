"""Average precision: against values computed by hand, scikit-learn, and on several devices."""

import jax
import numpy as np
import pytest

from gnp.training import parallel
from gnp.training.average_precision import average_precisions, mean_average_precision
from gnp.training.evaluate import evaluate, make_eval_step
from gnp.training.loss import binary_cross_entropy
from tests.training.toy import ToyModel, ToySource, toy_settings

# Two classes of five images. The first is found at ranks 1, 3 and 4, the second at 1 to 2 (equal
# scores, one of two) and 5.
SCORES = np.array([[9, 1], [8, 7], [7, 7], [6, 3], [5, 2]], float)
LABELS = np.array([[1, 1], [0, 0], [1, 1], [1, 0], [0, 0]])
BY_HAND = [(1 + 2 / 3 + 3 / 4) / 3, (1 / 2 + 2 / 5) / 2]


def test_values_computed_by_hand():
    np.testing.assert_allclose(average_precisions(SCORES, LABELS), BY_HAND)
    assert mean_average_precision(SCORES, LABELS) == pytest.approx(np.mean(BY_HAND))


def test_the_order_of_images_does_not_matter_where_scores_tie():
    scores = np.repeat([[2.0], [1.0]], 4, axis=0)
    labels = np.array([[1], [0], [0], [1], [1], [0], [0], [0]])
    expected = (2 * 2 / 4 + 3 / 8) / 3
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(8)
        np.testing.assert_allclose(average_precisions(scores[order], labels[order]), [expected])


def test_a_class_without_images_does_not_count():
    labels = np.column_stack([LABELS, np.zeros(5, int)])
    scores = np.column_stack([SCORES, np.ones(5)])
    assert mean_average_precision(scores, labels) == pytest.approx(np.mean(BY_HAND))
    assert np.isnan(average_precisions(scores, labels)[2])
    assert np.isnan(mean_average_precision(scores, 0 * labels))


def test_scores_that_are_not_finite_have_none():
    scores = SCORES.copy()
    scores[3, 1] = np.nan
    assert np.isnan(mean_average_precision(scores, LABELS))


def test_it_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 9, (60, 4)).astype(float)
    labels = generator.integers(0, 2, (60, 4))
    expected = metrics.average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(average_precisions(scores, labels), expected)


def test_evaluation_counts_each_image_of_all_devices_once():
    """21 images in batches of 16 on four devices, the last one padded with nan."""
    assert jax.local_device_count() == 4
    source, model = ToySource(), ToyModel()
    state = toy_settings().initial_state(model, (2, 2, 1))
    step = make_eval_step(model, image_loss=binary_cross_entropy, multi_label=True)
    found = evaluate(parallel.map_eval_step(step), state, source.eval_batches())
    images, labels = source._images[70:], source._labels[70:]
    logits = np.asarray(model.apply(state.variables, images, train=False))
    assert found["num_images"] == 21
    assert found["mean_average_precision"] == pytest.approx(mean_average_precision(logits, labels))
    assert found["map_error"] == 1 - found["mean_average_precision"]
    assert found["error_rate"] == pytest.approx(np.mean((logits > 0) != (labels > 0)))
    assert found["loss"] == pytest.approx(float(binary_cross_entropy(logits, labels).mean()), 1e-5)
    assert "top_5_error_rate" not in found
