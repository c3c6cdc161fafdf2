"""Steps of each ascent: in closed form, on several devices, and what they remember."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gnp.optimizer.build import build_optimizer
from gnp.regularization import gradient_norm, tree
from gnp.regularization.ascent import STEEPEST
from gnp.regularization.look_sam import look_sam
from gnp.regularization.passes import PenaltyForm
from gnp.regularization.warmup import penalty_warmup
from gnp.training import parallel
from gnp.training.gradient import Penalty, make_gradient
from gnp.training.objective import Objective
from gnp.training.perturbation_groups import PerturbationGroups, plan_groups
from gnp.training.state import create_state
from tests.training.toy import ToyModel, split
from tests.training.toy_steps import (
    BATCH,
    ONE_PASS,
    RATE,
    assert_trees_close,
    batch_of,
    build,
    penalty,
    run,
)

pytestmark = pytest.mark.usefixtures("_compile_fast")

FORMS = {
    "surrogate gap": {"surrogate_gap": 0.5},
    "random": {"ascent": "random"},
    "friendly": {"ascent": "friendly"},
    "momentum": ONE_PASS,
    "stale": ONE_PASS | {"ascent": "stale"},
    "share": {"ascent_share": 0.5},
    "perturb": {"perturb": ("Dense_0/*",)},
    "shrinking": {"shrink_r_below": 2.0},
    "LookSAM": {"reuse": 0.7},
    "AE-SAM": {"when.steep": True},
}
# Groups of 4 images fit on one device, of 8 on two, of all images on all. AE-SAM decides for the
# groups that are computed at the same time, so it does depend on how many devices those are on.
SIZES = [(name, {"perturbation_batch": 4}) for name in FORMS if name not in ("random", "AE-SAM")]
SIZES += [("random", {"perturbation_batch": 8})]
SIZES += [(name, {"perturbation_batch": 0, "accumulation_steps": 2}) for name in FORMS]


def arranged(batch, devices, microbatches):
    """Each microbatch has the same images on any number of devices, and the same first half."""

    def moved(array):
        parts = array.reshape(microbatches, -1, devices, *array.shape[1:])
        return np.moveaxis(parts, 2, 0).reshape(array.shape)

    return {name: moved(array) for name, array in batch.items()}


@pytest.mark.parametrize(("name", "sizes"), SIZES, ids=str)
def test_no_form_depends_on_the_number_of_devices(name, sizes):
    results = []
    is_on_one_device = sizes["perturbation_batch"] == 4
    for devices in (1, 4) if is_on_one_device else (1, 2, 4):
        options = {}
        if microbatches := sizes.get("accumulation_steps"):
            options["arranged"] = functools.partial(
                arranged, devices=devices, microbatches=microbatches
            )
        state, _ = run(
            devices=devices,
            standard_steps=(1,) if name == "LookSAM" else (),
            penalty=penalty(**FORMS[name]),
            groups=plan_groups(batch_size=BATCH, num_devices=devices, **sizes),
            **options,
        )
        results.append((state.params, state.ascent_memory))
    for result in results[1:]:
        assert_trees_close(results[0], result, rtol=1e-5)


MATRIX = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
START = np.array([1.0, -2.0, 0.5])
POINTS = np.random.default_rng(0).normal(size=(2, 8, 3))  # on two devices


class Offsets(nn.Module):
    """w − x of each image x. With the loss below its gradient is A·(w − x)."""

    @nn.compact
    def __call__(self, images, train):
        return self.param("w", lambda key: jnp.asarray(START, jnp.float32)) - images


def half_the_square(offsets, labels):
    del labels
    return 0.5 * jnp.einsum("ij,jk,ik->i", offsets, MATRIX, offsets)


def quadratic_step(penalty, groups=1, memory=None):
    """The gradient of a step on two devices, and its metrics."""
    objective = Objective(Offsets(), image_loss=half_the_square)
    gradient_of = make_gradient(objective, penalty, PerturbationGroups(per_device=groups))
    state = create_state(
        Offsets(), build_optimizer("SGD", {}), image_shape=(3,), init_seed=0, seed=0
    ).replace(ascent_memory=memory)
    batch = {"image": jnp.asarray(POINTS, jnp.float32), "label": jnp.ones_like(POINTS)}
    found = jax.vmap(functools.partial(gradient_of, state), axis_name=parallel.AXIS)(batch)
    return found.gradient["w"][0], found.metrics


def perturbed_along(first, images):
    """The gradient of the mean over some images, 0.5 along a gradient from the start."""
    return MATRIX @ (START + 0.5 * first / np.linalg.norm(first) - images.mean(axis=0))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("alpha", [1.0, 0.8])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_the_images_leads_to_the_perturbed_parameters(share, alpha, groups):
    """g1, which the weight 1 − α goes to as well, is that of the first images of a group."""
    expected = []
    for group in POINTS.reshape(2 * groups, -1, 3):
        first = MATRIX @ (START - group[: int(share * len(group))].mean(axis=0))
        second = perturbed_along(first, group)
        expected.append((1 - alpha) * first + alpha * second)
    form = penalty(alpha=alpha, ascent_share=share)
    gradient, metrics = quadratic_step(form, groups)
    np.testing.assert_allclose(gradient, np.mean(expected, axis=0), rtol=1e-5)
    assert ("sharpness" in metrics) == (share == 1)


def test_a_share_of_all_images_is_the_form_of_two_passes():
    def loss(w, images):
        return jnp.mean(half_the_square(w - images, None))

    of_device = gradient_norm.value_and_grad(loss, r=0.5, alpha=0.8)
    expected = np.mean([of_device(jnp.asarray(START), images)[1] for images in POINTS], axis=0)
    gradient, _ = quadratic_step(penalty(ascent_share=1.0))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.parametrize("is_wanted", [True, False])
def test_ae_sam_decides_for_all_devices_together(is_wanted):
    """From an average norm of μ on, and without a variance, ‖g1‖² ≥ μ is long in the first step."""
    slopes = [MATRIX @ (START - images.mean(axis=0)) for images in POINTS]
    squares = [slope @ slope for slope in slopes]
    limit = np.mean(squares) * (0.99 if is_wanted else 1.01)
    assert min(squares) < limit < max(squares)  # alone they would not agree
    form = penalty(**FORMS["AE-SAM"], alpha=1.0)
    memory = form.form.ascent.init(None)._replace(mean=jnp.float32(limit))
    gradient, _ = quadratic_step(form, memory=memory)
    if is_wanted:
        slopes = map(perturbed_along, slopes, POINTS)
    np.testing.assert_allclose(gradient, np.mean(list(slopes), axis=0), rtol=1e-5)


def gradient_by_hand(params, batch, r, alpha):
    objective = Objective(ToyModel(use_batch_norm=False), l2=1e-3)
    grad = jax.grad(lambda p: objective(p, {}, batch, {})[0])
    clean = grad(params)
    perturbed = grad(tree.add(params, tree.unit(clean), r))
    return clean, tree.mix(clean, perturbed, alpha)


def halves(batch):
    return [{k: v[part] for k, v in batch.items()} for part in (slice(0, 8), slice(8, 16))]


def mean(trees):
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)


def test_look_sam_adds_the_orthogonal_part_of_the_last_penalty():
    """Algorithm 1 of arXiv 2203.02714: g + a·‖g‖/‖g_v‖·g_v between penalized steps."""
    state, penalized = build(penalty=penalty(reuse=0.7))
    _, standard = build(penalty=penalty(reuse=0.7), is_penalized=False)
    start = jax.device_get(state.params)
    state, _ = penalized(state, None, split(batch_of(0), 2))
    kept, middle = jax.device_get((state.ascent_memory, state.params))
    clean, mixed = zip(
        *(gradient_by_hand(start, half, 0.5, 0.8) for half in halves(batch_of(0))), strict=True
    )
    g_v = tree.orthogonal_part(mean(mixed), mean(clean))
    assert_trees_close(kept, g_v, rtol=1e-4)

    state, _ = standard(state, None, split(batch_of(1), 2))
    gradient, _ = gradient_by_hand(middle, batch_of(1), 0.0, 0.0)
    length = 0.7 * tree.global_norm(gradient) / tree.global_norm(g_v)
    expected = tree.add(middle, tree.add(gradient, g_v, length), -RATE)
    assert_trees_close(state.params, expected, rtol=1e-4)
    assert_trees_close(state.ascent_memory, kept)


def test_look_sam_keeps_nothing_while_there_is_no_penalty():
    schedules = penalty_warmup("r", r=0.5, alpha=0.8, warmup_steps=2)
    form = PenaltyForm(ascent=look_sam(STEEPEST, 0.7))
    state, penalized = build(penalty=Penalty(*schedules, form=form))
    state, _ = penalized(state, None, split(batch_of(0), 1))
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.ascent_memory))
    state, _ = penalized(state, None, split(batch_of(1), 1))
    assert tree.global_norm(state.ascent_memory) > 0


def test_one_pass_looks_along_the_mean_gradient_of_all_devices_and_groups():
    state, step = build(penalty=penalty(ascent="stale", alpha=1.0), groups=PerturbationGroups(2))
    batches = [batch_of(seed) for seed in range(2)]
    params = jax.device_get(state.params)
    for batch in batches:
        state, metrics = step(state, None, split(batch, 2))
    first, _ = gradient_by_hand(params, batches[0], 0.0, 0.0)  # the memory is empty
    middle = tree.add(params, first, -RATE)
    there = tree.add(middle, tree.unit(first), 0.5)
    second, _ = gradient_by_hand(there, batches[1], 0.0, 0.0)
    assert_trees_close(state.params, tree.add(middle, second, -RATE), rtol=1e-4)
    assert_trees_close(state.ascent_memory, second, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], metrics["perturbed_loss"])
    assert not {"gradient_norm_clean", "sharpness", "gradient_cosine"} & metrics.keys()


def test_one_pass_keeps_the_batch_statistics_of_the_perturbed_parameters():
    model = ToyModel()
    options = {"model": model, "penalty": penalty(ascent="stale", alpha=1.0)}
    state, step = build(**options)
    state, _ = step(state, None, split(batch_of(0), 1))
    before = jax.device_get(state)
    state, _ = step(state, None, split(batch_of(1), 1))
    there = tree.add(before.params, tree.unit(before.ascent_memory), 0.5)
    batch = {k: jnp.asarray(v) for k, v in batch_of(1).items()}
    _, aux = Objective(model, l2=1e-3)(there, before.batch_stats, batch, {})
    assert_trees_close(state.batch_stats, aux["batch_stats"], rtol=1e-4)
