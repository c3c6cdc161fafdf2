"""Sharpness of a tiny network, held against its full Hessian and plain loops over its images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gnp.diagnostics.dataset_loss import WholeSet
from gnp.diagnostics.sharpness import (
    SharpnessSettings,
    measure_sharpness,
    worst_case_over_groups,
    worst_case_sharpness,
)
from gnp.errors import UserError
from gnp.optimizer.build import build_optimizer
from gnp.regularization import tree
from gnp.training import loss as losses
from gnp.training import parallel
from gnp.training.state import create_state
from tests.training.toy import ToyModel, ToySource

pytestmark = pytest.mark.usefixtures("_compile_fast")

KEY = jax.random.PRNGKey(0)
MODEL = ToyModel(hidden=4, dropout_rate=0.5)
SOURCE = ToySource()


@pytest.fixture(scope="module")
def state():
    state = create_state(
        MODEL, build_optimizer("SGD", {}), image_shape=(2, 2, 1), init_seed=1, seed=0
    )
    stats = jax.tree.map(lambda leaf: leaf + 0.3, state.batch_stats)
    return parallel.replicate(state.replace(batch_stats=stats))


@pytest.fixture(scope="module")
def whole_set():
    return WholeSet(MODEL, SOURCE, label_smoothing=0.1)


def all_images():
    batches = list(SOURCE.eval_batches())
    real = np.concatenate([batch["mask"] for batch in batches]) > 0
    return {k: np.concatenate([b[k] for b in batches])[real] for k in ("image", "label")}


def plain_loss(params, batch_stats, images):
    variables = {"params": params, "batch_stats": batch_stats}
    logits = MODEL.apply(variables, images["image"], train=False)
    return losses.cross_entropy(logits, losses.smooth_labels(images["label"], 0.1)).mean()


def plain_hessian(state):
    flat, unravel = ravel_pytree(jax.device_get(state.params))
    stats, images = jax.device_get(state.batch_stats), all_images()
    return np.array(jax.hessian(lambda x: plain_loss(unravel(x), stats, images))(flat))


def test_loss_and_gradient_are_those_of_all_images_at_once(state, whole_set):
    params, stats = jax.device_get((state.params, state.batch_stats))
    loss, gradient = jax.value_and_grad(plain_loss)(params, stats, all_images())
    assert whole_set.num_images == 21
    assert whole_set.loss_and_error(state.params, state.batch_stats)[0] == pytest.approx(
        float(loss), rel=1e-5
    )
    found = jax.device_get(whole_set.gradient(state.params, state.batch_stats))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, gradient
    )


def test_where_nothing_is_predicted_there_is_no_error(state, whole_set):
    params = jax.tree.map(lambda leaf: leaf * jnp.nan, state.params)
    assert np.isnan(whole_set.loss_and_error(params, state.batch_stats)).all()


def test_products_are_those_with_the_full_hessian(state, whole_set):
    flat, unravel = ravel_pytree(state.params)
    vector = jax.random.normal(KEY, flat.shape)
    found = whole_set.hessian_product(state.params, state.batch_stats, unravel(vector))
    np.testing.assert_allclose(
        ravel_pytree(found)[0], plain_hessian(state) @ np.array(vector), rtol=1e-4, atol=1e-5
    )


def test_figures_are_those_of_the_full_hessian(state, whole_set):
    hessian = plain_hessian(state)
    settings = SharpnessSettings(
        m=4, sigma=0.02, directions=30, lanczos_steps=len(hessian), lanczos_runs=1, trace_samples=60
    )
    figures = measure_sharpness(
        whole_set, state.params, state.batch_stats, settings, show_progress=False
    )
    largest = np.linalg.eigvalsh(hessian)[::-1][:5]
    np.testing.assert_allclose(figures["eigenvalues"], largest, rtol=1e-3, atol=1e-4)
    assert abs(figures["trace"] - np.trace(hessian)) < 3 * figures["trace_error"]
    expected = 0.5 * 0.02**2 * np.trace(hessian)
    assert abs(figures["mean_rise"] - expected) < 3 * figures["mean_rise_error"]
    assert figures["mean_rise_error"] < 0.2 * expected


def test_narrow_parameters_are_measured_precisely(state, whole_set):
    settings = SharpnessSettings(m=4, directions=1, lanczos_steps=3, trace_samples=1, sigma=1e-4)
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state.params)
    figures = [
        measure_sharpness(whole_set, params, state.batch_stats, settings, show_progress=False)
        for params in (narrow, tree.precise(narrow))
    ]
    assert figures[0] == figures[1]


def test_a_seed_gives_the_same_figures_again(state, whole_set):
    def measure(seed):
        settings = SharpnessSettings(directions=2, lanczos_steps=3, trace_samples=2, seed=seed)
        return measure_sharpness(
            whole_set, state.params, state.batch_stats, settings, show_progress=False
        )

    first = measure(1)
    assert measure(1) == first
    assert first["settings"]["m"] == 4  # what fits into a device's part of a batch
    assert measure(2)["trace"] != first["trace"]


def test_m_sharpness_is_the_mean_over_groups(state, whole_set):
    """16 images on four devices: groups of two, the last of 21 images one of its own."""
    params, stats = jax.device_get((state.params, state.batch_stats))
    images, total = all_images(), 0.0
    for first in range(0, 21, 2):
        group = {k: v[first : first + 2] for k, v in images.items()}

        def loss_fn(params):
            return plain_loss(params, stats, group)

        total += len(group["image"]) * worst_case_sharpness(loss_fn, params, 0.1, 3, KEY)
    settings = SharpnessSettings(r=0.1, m=2, ascent_steps=3)
    found = worst_case_over_groups(whole_set, state.params, state.batch_stats, settings, KEY)
    assert found == pytest.approx(float(total) / 21, rel=1e-4)
    one = SharpnessSettings(r=0.1, m=1, ascent_steps=3)
    assert worst_case_over_groups(whole_set, state.params, state.batch_stats, one, KEY) > found


def test_groups_that_do_not_divide_are_refused_before_any_pass(state, whole_set, monkeypatch):
    monkeypatch.setattr(whole_set, "loss_and_error", lambda *inputs: pytest.fail("a pass"))
    settings = SharpnessSettings(m=6)
    with pytest.raises(UserError, match=r"4 images, .* groups of --m=6; .* such as 2, or"):
        measure_sharpness(whole_set, state.params, state.batch_stats, settings)


def test_a_set_too_large_to_be_kept_is_read_again(state, whole_set, monkeypatch):
    monkeypatch.setattr("gnp.diagnostics.dataset_loss._KEPT_BYTES", 0)
    large = WholeSet(MODEL, SOURCE, label_smoothing=0.1)
    for _ in range(2):
        found = large.loss_and_error(state.params, state.batch_stats)
        assert found == whole_set.loss_and_error(state.params, state.batch_stats)
    moved = tree.add(state.params, jax.tree.map(jnp.ones_like, state.params), 0.1)
    assert large.loss_and_error(moved, state.batch_stats) != found
