"""The other forms of the penalty, each against its paper's formula, and the exact gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.regularization import gradient_norm, tree

MATRIX = jnp.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
START = jnp.array([1.0, -2.0, 0.5])
GRADIENT = MATRIX @ START
R, ALPHA = 0.3, 0.8


def quadratic(params):
    return 0.5 * params @ MATRIX @ params


def gradient(r=R, alpha=ALPHA, start=START, loss=quadratic, **form):
    return gradient_norm.value_and_grad(loss, r=r, alpha=alpha, **form)(start)[1]


def test_adaptive_ascent_is_asam():
    """Section 3 of arXiv 2102.11600 with T = |w| + η: ε = ρ·T²∇L / ‖T∇L‖."""
    scale = jnp.abs(START) + 0.01
    perturbation = R * scale**2 * GRADIENT / jnp.linalg.norm(scale * GRADIENT)
    expected = 0.2 * GRADIENT + 0.8 * MATRIX @ (START + perturbation)
    np.testing.assert_allclose(gradient(ascent="adaptive"), expected, rtol=1e-5)


def test_surrogate_gap_is_gsam():
    """Algorithm 1 of arXiv 2203.08065: ∇f_p − a·∇f_⊥, ∇f_⊥ the part of ∇f orthogonal to ∇f_p."""
    perturbed = MATRIX @ (START + R * GRADIENT / jnp.linalg.norm(GRADIENT))
    orthogonal = GRADIENT - (GRADIENT @ perturbed) / (perturbed @ perturbed) * perturbed
    expected = perturbed - 0.4 * orthogonal
    np.testing.assert_allclose(gradient(alpha=1.0, surrogate_gap=0.4), expected, rtol=1e-5)


def test_several_ascent_steps_follow_the_gradient_anew():
    point = START
    for _ in range(3):
        slope = MATRIX @ point
        point = point + R / 3 * slope / jnp.linalg.norm(slope)
    expected = 0.2 * GRADIENT + 0.8 * MATRIX @ point
    np.testing.assert_allclose(gradient(ascent_steps=3), expected, rtol=1e-5)


def test_random_ascent_has_the_same_length_and_follows_its_key():
    seen = []

    def loss(params):
        jax.debug.callback(lambda p: seen.append(np.asarray(p)), params)
        return quadratic(params)

    penalized = gradient_norm.value_and_grad(loss, r=R, alpha=1.0, ascent="random")
    for key in (0, 0, 1):
        penalized(START, ascent_key=jax.random.PRNGKey(key))
    jax.effects_barrier()
    moves = [p - START for p in seen if not np.array_equal(p, START)]
    np.testing.assert_allclose([np.linalg.norm(m) for m in moves], [R] * 3, rtol=1e-5)
    np.testing.assert_array_equal(moves[0], moves[1])
    assert not np.allclose(moves[0], moves[2])


def test_exact_and_two_pass_forms_agree_on_a_quadratic():
    np.testing.assert_allclose(gradient(mode="exact"), gradient(), rtol=1e-5)


def test_exact_form_is_the_gradient_of_the_penalized_loss():
    def objective(params):
        return quadratic(params) + R * ALPHA * jnp.linalg.norm(MATRIX @ params)

    np.testing.assert_allclose(gradient(mode="exact"), jax.grad(objective)(START), rtol=1e-5)


def network_loss(params):
    """A network of one hidden layer on ten fixed points."""
    inputs = jnp.linspace(-2, 2, 20).reshape(10, 2)
    hidden = jnp.tanh(inputs @ params["a"] + params["b"])
    return jnp.mean((hidden @ params["c"] - jnp.sin(inputs[:, 0])) ** 2)


def slope_of_the_error(radii, strength=0.2):
    """Slope of log(error of the two-pass form) over log(r), at a fixed strength λ = α·r."""
    rng = np.random.default_rng(0)
    params = {
        "a": jnp.asarray(rng.normal(size=(2, 5))),
        "b": jnp.asarray(rng.normal(size=5)),
        "c": jnp.asarray(rng.normal(size=5)),
    }
    exact = gradient(r=1.0, alpha=strength, start=params, loss=network_loss, mode="exact")
    errors = [
        tree.global_norm(
            tree.add(gradient(r=r, alpha=strength / r, start=params, loss=network_loss), exact, -1)
        )
        for r in radii
    ]
    return np.polyfit(np.log(radii), np.log(np.array(errors)), 1)[0]


def test_two_pass_form_tends_to_the_exact_one_linearly_in_r():
    with jax.enable_x64(True):
        slope = slope_of_the_error(np.array([1e-2, 3e-3, 1e-3, 3e-4, 1e-4]))
    print(f"slope of the error of the two-pass form over r: {slope:.4f}")
    assert 0.9 < slope < 1.1


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"mode": "two_passes"}, r"mode .*'two_passes'; known: two_pass, "),
        ({"ascent": "adaptiv"}, r"ascent .*'adaptiv'; known: adaptive, "),
        ({"ascent_steps": 0}, "at least 1, not 0"),
        ({"mode": "exact", "ascent_steps": 2}, "has no perturbation"),
    ],
)
def test_bad_form_is_refused(form, message):
    with pytest.raises(UserError, match=message):
        gradient(**form)
