"""Ascents on a quadratic, where everything is known, and what each becomes in a special case."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.regularization import gradient_norm
from gnp.regularization.ae_sam import where_steep
from gnp.regularization.ascent import STEEPEST, ascent, friendly, momentum, restricted
from gnp.regularization.look_sam import look_sam

MATRIX = jnp.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
START = jnp.array([1.0, -2.0, 0.5])
R, RATE = 0.3, 0.1


def quadratic(params):
    return 0.5 * params @ MATRIX @ params


def descend(ascent, steps, alpha=1.0, **form):
    """Gradient descent on the quadratic; the points and the gradients that it takes."""
    penalized = gradient_norm.value_and_grad(quadratic, R, alpha, ascent=ascent, **form)
    params, memory = START, penalized.init(START)
    points, gradients = [START], []
    for _ in range(steps):
        (_, gradient), memory = penalized.apply(memory, params)
        params = params - RATE * gradient
        points.append(params)
        gradients.append(gradient)
    return points, gradients


def unit(vector):
    return vector / jnp.linalg.norm(vector)


@pytest.mark.parametrize(("name", "sign"), [("momentum", 1), ("momentum_descent", -1)])
def test_momentum_looks_along_the_average_of_past_gradients(name, sign):
    """Algorithm 1 of arXiv 2401.12033: g = ∇L(θ − ρ·v/‖v‖), v the momentum; both signs."""
    points, gradients = descend(name, 4)
    average = jnp.zeros(3)
    for step, (point, gradient) in enumerate(zip(points, gradients, strict=False)):
        move = sign * R * unit(average) if step else jnp.zeros(3)
        np.testing.assert_allclose(gradient, MATRIX @ (point + move), rtol=1e-5)
        average = 0.9 * average + 0.1 * gradient


def test_momentum_points_where_the_momentum_of_the_optimizer_does():
    _, gradients = descend("momentum", 3)
    trace = jnp.zeros(3)
    for gradient in gradients:
        trace = 0.9 * trace + gradient
    memory = momentum(0.9).init(START)
    for gradient in gradients:
        memory = 0.9 * memory + 0.1 * gradient
    np.testing.assert_allclose(unit(memory), unit(trace), rtol=1e-6)


def test_stale_is_momentum_that_remembers_one_gradient():
    """AsyncSAM (arXiv 2503.11147) looks along the gradient of the step before."""
    points, gradients = descend("stale", 3)
    for before, point, gradient in zip(gradients, points[1:], gradients[1:], strict=False):
        np.testing.assert_allclose(gradient, MATRIX @ (point + R * unit(before)), rtol=1e-5)
    np.testing.assert_allclose(gradients, descend(momentum(0.0), 3)[1], rtol=1e-6)


def test_one_pass_calls_the_loss_once():
    calls = []

    def loss(params):
        calls.append(params)
        return quadratic(params)

    penalized = gradient_norm.value_and_grad(loss, R, 1, ascent="momentum")
    penalized.apply(penalized.init(START), START)
    assert len(calls) == 1


def test_friendly_looks_along_the_gradient_without_its_average():
    """Algorithm 1 of arXiv 2403.12350: m = λm + (1 − λ)g, ε = ρ·(g − σm)/‖g − σm‖, σ = 1."""
    points, gradients = descend("friendly", 4, alpha=0.8)
    average = jnp.zeros(3)
    for point, gradient in zip(points, gradients, strict=False):
        clean = MATRIX @ point
        average = 0.9 * average + 0.1 * clean
        perturbed = MATRIX @ (point + R * unit(clean - average))
        np.testing.assert_allclose(gradient, 0.2 * clean + 0.8 * perturbed, rtol=1e-4)


def test_friendly_begins_as_sam():
    _, (first,) = descend("friendly", 1)
    sam = gradient_norm.value_and_grad(quadratic, R, 1.0)(START)[1]
    np.testing.assert_allclose(first, sam, rtol=1e-6)


def test_ae_sam_perturbs_where_the_gradient_is_long():
    """Algorithm 1 of arXiv 2304.14647, with δ = 0.9 and c from 1 to −1 over the run."""
    total = 6
    penalized = gradient_norm.value_and_grad(
        lambda params, factor: factor * quadratic(params), R, 1, ascent=where_steep(STEEPEST, total)
    )
    memory, mean, variance, decisions = penalized.init(START), 0.0, 0.0, []
    for step, factor in enumerate([1.0, 1.0, 3.0, 0.2, 1.0, 1.0]):
        clean = factor * MATRIX @ START
        squared = float(clean @ clean)
        mean = 0.9 * mean + 0.1 * squared
        variance = 0.9 * variance + 0.1 * (squared - mean) ** 2
        limit = 1 - 2 * step / total
        wanted = squared >= mean + limit * variance**0.5
        expected = factor * MATRIX @ (START + R * unit(clean)) if wanted else clean
        (_, gradient), memory = penalized.apply(memory, START, factor)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5)
        decisions.append(wanted)
    assert {True, False} == set(decisions)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # with and without branches
@pytest.mark.parametrize(("mean", "r"), [(0.0, R), (1e6, 0.0)], ids=["SAM", "standard"])
def test_ae_sam_is_sam_if_all_gradients_are_long_and_standard_if_none_is(
    mean, r, backend, monkeypatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    steep = gradient_norm.value_and_grad(quadratic, R, 0.8, ascent=where_steep(STEEPEST, 4))
    same = gradient_norm.value_and_grad(quadratic, r, 0.8)
    params, memory = START, steep.init(START)._replace(mean=jnp.float32(mean))
    for _ in range(4):
        (_, gradient), memory = steep.apply(memory, params)
        np.testing.assert_allclose(gradient, same(params)[1], rtol=1e-6)
        params = params - RATE * gradient


def test_without_a_radius_each_is_standard_training():
    for name in ("friendly", "momentum", "stale"):
        penalized = gradient_norm.value_and_grad(quadratic, 0.0, 1, ascent=name)
        memory = penalized.init(START)
        for _ in range(2):
            (_, gradient), memory = penalized.apply(memory, START)
            np.testing.assert_allclose(gradient, MATRIX @ START, rtol=1e-6)


def test_narrow_parameters_are_perturbed_and_remembered_in_float32():
    """bfloat16 would round a perturbation of 0.3 at 100 away."""
    start = jnp.full(3, 100, jnp.bfloat16)
    penalized = gradient_norm.value_and_grad(
        lambda p: jnp.sum(p.astype(jnp.float32) ** 3), 0.1, 1, ascent="stale"
    )
    memory = penalized.init(start)
    (_, first), memory = penalized.apply(memory, start)
    (loss, second), memory = penalized.apply(memory, start)
    assert first.dtype == second.dtype == jnp.bfloat16
    assert memory.dtype == jnp.float32
    np.testing.assert_allclose(loss, 3 * (100 + 0.1 / 3**0.5) ** 3, rtol=1e-6)


PARAMS = {"conv": {"kernel": START[:2]}, "norm": {"scale": START[2:]}}
SLOPE = MATRIX @ START
WITH_CONV_MOVED = START + R * unit(SLOPE.at[2].set(0))


def as_vector(params):
    return jnp.concatenate([params["conv"]["kernel"], params["norm"]["scale"]])


def of_params(params):
    return quadratic(as_vector(params))


@pytest.mark.parametrize("inner", ["gradient", "adaptive", "random", "momentum", "friendly"])
def test_only_the_chosen_parameters_are_perturbed(inner):
    """Normalization layers alone are SAM-ON (arXiv 2306.04226)."""
    some = restricted(ascent(inner), ("norm/*",))
    gradient = jax.grad(of_params)(PARAMS)
    memory = some.initial_memory(PARAMS)
    if inner == "momentum":
        memory = {"conv": {"kernel": None}, "norm": {"scale": jnp.array([2.0])}}
    move = some.direction(PARAMS, gradient, memory, jax.random.PRNGKey(0))
    np.testing.assert_array_equal(move["conv"]["kernel"], [0.0, 0.0])
    length = jnp.abs(PARAMS["norm"]["scale"][0]) + 0.01 if inner == "adaptive" else 1.0
    np.testing.assert_allclose(jnp.abs(move["norm"]["scale"]), length, rtol=1e-6)


def test_the_whole_gradient_is_that_where_the_chosen_parameters_moved():
    some = restricted(STEEPEST, ("conv/*",))
    _, gradient = gradient_norm.value_and_grad(of_params, R, 0.8, ascent=some)(PARAMS)
    expected = 0.2 * SLOPE + 0.8 * MATRIX @ WITH_CONV_MOVED
    np.testing.assert_allclose(as_vector(gradient), expected, rtol=1e-5)


def test_in_one_pass_the_chosen_parameters_follow_what_they_remember():
    some = restricted(momentum(), ("conv/*",))
    penalized = gradient_norm.value_and_grad(of_params, R, 1, ascent=some)
    (_, first), memory = penalized.apply(penalized.init(PARAMS), PARAMS)
    (_, second), _ = penalized.apply(memory, PARAMS)
    np.testing.assert_allclose(as_vector(first), SLOPE, rtol=1e-5)
    np.testing.assert_allclose(as_vector(second), MATRIX @ WITH_CONV_MOVED, rtol=1e-5)


def test_all_parameters_chosen_are_the_ascent_itself():
    gradient = jax.grad(of_params)(PARAMS)
    every = restricted(STEEPEST, ("*",)).direction(PARAMS, gradient, None, None)
    jax.tree.map(
        np.testing.assert_allclose, every, STEEPEST.direction(PARAMS, gradient, None, None)
    )


def test_the_memory_of_some_parameters_is_as_small():
    memory = restricted(momentum(), ("norm/*",)).initial_memory(PARAMS)
    assert [leaf.shape for leaf in jax.tree.leaves(memory)] == [(1,)]


def test_the_average_over_devices_is_what_is_remembered():
    def loss(params, inputs):
        return jnp.mean((inputs @ params) ** 2)

    penalized = gradient_norm.value_and_grad(loss, R, 1, ascent="momentum", axis_name="devices")
    inputs = jnp.arange(12.0).reshape(2, 2, 3) / 12
    memory = jax.vmap(penalized.init, axis_size=2, in_axes=None)(START)
    for _ in range(2):
        (_, gradients), memory = jax.vmap(
            penalized.apply, in_axes=(0, None, 0), axis_name="devices"
        )(memory, START, inputs)
    np.testing.assert_array_equal(memory[0], memory[1])
    assert not np.allclose(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ascent("uphill"), "'uphill'; known: adaptive, friendly, "),
        (lambda: ascent("momentum", decay=1.0), "ascent_decay is 1.0; it must be at least 0"),
        (lambda: look_sam(friendly(), 0.5), "there is room for one memory"),
        (lambda: where_steep(momentum(), 9), "there is room for one memory"),
        (
            lambda: restricted(STEEPEST, ("bias*",)).direction(PARAMS, PARAMS, None, None),
            r"gnp.perturb has the pattern 'bias\*', which matches nothing",
        ),
        (
            lambda: restricted(STEEPEST, (("*", 1),)).direction(PARAMS, PARAMS, None, None),
            r"gnp.perturb has \('\*', 1\); a pattern is a text such as",
        ),
        (
            lambda: gradient_norm.value_and_grad(quadratic, R, 0.8, ascent="momentum"),
            "alpha must be the number 1, not 0.8",
        ),
        (
            lambda: gradient_norm.value_and_grad(quadratic, R, 1, ascent="stale", ascent_steps=2),
            "makes one pass, .* must keep their defaults",
        ),
    ],
    ids=["name", "decay", "look_sam", "where_steep", "pattern", "no text", "alpha", "steps"],
)
def test_what_cannot_be_is_refused(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


@pytest.mark.parametrize("r", [R, jnp.float32(R), 0.0], ids=["number", "array", "zero"])
def test_metrics_of_the_passes_come_behind_the_gradient(r):
    penalized = gradient_norm.value_and_grad(quadratic, r, 0.8, with_metrics=True)
    loss, gradient, metrics = jax.jit(penalized)(START)
    clean = MATRIX @ START
    expected_loss, expected = gradient_norm.value_and_grad(quadratic, r, 0.8)(START)
    np.testing.assert_allclose(loss, expected_loss)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    np.testing.assert_allclose(metrics.gradient_norm, jnp.linalg.norm(clean), rtol=1e-6)
    if isinstance(r, float) and r == 0:
        assert np.isnan([metrics.perturbed_loss, metrics.gradient_cosine]).all()
        return
    there = START + R * unit(clean)
    second = MATRIX @ there
    np.testing.assert_allclose(metrics.perturbed_loss, quadratic(there), rtol=1e-5)
    np.testing.assert_allclose(metrics.perturbed_gradient_norm, jnp.linalg.norm(second), rtol=1e-5)
    np.testing.assert_allclose(metrics.gradient_cosine, unit(clean) @ unit(second), rtol=1e-5)
