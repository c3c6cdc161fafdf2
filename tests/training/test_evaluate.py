"""Evaluation while training and by the command `evaluate`: one rule for both."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.diagnostics.classification import classification_figures
from gnp.training import parallel
from gnp.training.evaluate import evaluate, make_eval_step, make_predict_step, predict
from gnp.training.state import TrainState

CLASSES = 10


class SameForAll(nn.Module):
    """Logits that are a parameter, whatever the image."""

    @nn.compact
    def __call__(self, inputs, train):
        logits = self.param("logits", nn.initializers.zeros, (CLASSES,))
        return jnp.tile(logits, (len(inputs), 1))


def figures_of(logits):
    """The figures of training and of the command over labels 0 to 9, with padding."""
    state = parallel.replicate(
        TrainState(
            step=jnp.int32(0),
            params={"logits": jnp.array(logits, jnp.float32)},
            batch_stats={},
            opt_state=(),
            key=jax.random.PRNGKey(0),
            skipped=jnp.int32(0),
        )
    )
    batch = {
        "image": np.full((12, 2, 2, 1), np.nan, np.float32),
        "label": np.eye(CLASSES, dtype=np.float32)[np.arange(12) % CLASSES],
        "mask": np.arange(12) < CLASSES,
    }
    in_training = evaluate(parallel.map_eval_step(make_eval_step(SameForAll())), state, [batch])
    predict_step = parallel.map_eval_step(make_predict_step(SameForAll()), per_image=True)
    found, labels = predict(predict_step, state, [batch])
    command = classification_figures(found, labels, list(map(str, range(CLASSES))))
    return in_training, command


@pytest.mark.parametrize(
    ("logits", "errors"),
    [([0.0] * CLASSES, (0.9, 0.5)), ([0, 0, 0, 0, 1, 1, 0, 0, 0, 0], (0.9, 0.5))],
)
def test_classes_that_tie_are_in_the_order_of_their_numbers(logits, errors):
    for figures in figures_of(logits):
        assert (figures["error_rate"], figures["top_5_error_rate"]) == pytest.approx(errors)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_predicts_nothing_has_no_errors(value):
    """By the order of its numbers it would always predict one class."""
    for figures in figures_of([0.0] * (CLASSES - 1) + [value]):
        assert np.isnan(
            [figures[name] for name in ("error_rate", "top_5_error_rate", "loss")]
        ).all()
