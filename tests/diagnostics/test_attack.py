"""The fast gradient attack."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gnp.diagnostics.attack import fast_gradient
from gnp.training import parallel
from gnp.training.evaluate import make_predict_step, predict
from gnp.training.state import create_state
from tests.training.toy import ToyModel, ToySource


def test_each_image_goes_the_radius_along_its_own_gradient():
    images = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 2, 1)), jnp.float32)
    moves = fast_gradient(lambda x: jnp.sum(x**4), images, 0.3) - images
    np.testing.assert_allclose(jnp.sqrt(jnp.sum(moves**2, axis=(1, 2, 3))), [0.3] * 4, rtol=1e-5)
    directions = images**3 / jnp.sqrt(jnp.sum(images**6, axis=(1, 2, 3), keepdims=True))
    np.testing.assert_allclose(moves, 0.3 * directions, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("radius", [0.05, 0.5])
def test_predictions_under_attack_are_worse_and_padding_does_no_harm(radius):
    model, source = ToyModel(), ToySource()
    state = create_state(model, optax.identity(), image_shape=(2, 2, 1), init_seed=0, seed=0)

    def losses(attack):
        step = parallel.map_eval_step(make_predict_step(model, attack), per_image=True)
        logits, labels = predict(step, state, source.eval_batches())
        assert len(logits) == source.num_eval_images
        return -jax.nn.log_softmax(logits)[np.arange(len(labels)), labels]

    attacked = losses(lambda loss_fn, images: fast_gradient(loss_fn, images, radius))
    assert np.isfinite(attacked).all()
    assert np.mean(attacked - losses(None)) > 0.1 * radius
