"""Penalties on gradients with respect to inputs, activations and parameters."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gnp.errors import UserError
from gnp.regularization import (
    activation_gradient,
    gradient_norm,
    input_gradient,
    parameter_gradient,
    tree,
)
from gnp.regularization.gradient_penalties import GradientPenalties, penalized_loss

NUM_EXAMPLES = 6


def softmax_regression(seed=0):
    """Weights, inputs, one-hot labels, and ∂ℓ/∂logits = p − y of each example."""
    rng = np.random.default_rng(seed)
    weights, inputs = rng.normal(size=(3, 4)), rng.normal(size=(NUM_EXAMPLES, 3))
    weights, inputs = jnp.asarray(weights), jnp.asarray(inputs)
    labels = jnp.eye(4)[rng.integers(0, 4, NUM_EXAMPLES)]
    return weights, inputs, labels, jax.nn.softmax(inputs @ weights) - labels


def mean_loss(point, labels):
    logits = point["inputs"] @ point["params"] + point.get("activations", {}).get("logits", 0)
    losses = -jnp.sum(labels * jax.nn.log_softmax(logits), axis=-1)
    return jnp.mean(losses), {"logits": logits}


def smooth_point(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "params": {"a": jnp.asarray(rng.normal(size=(3, 5))), "b": jnp.asarray(rng.normal(size=5))},
        "inputs": jnp.asarray(rng.normal(size=(NUM_EXAMPLES, 3))),
        "activations": {"hidden": jnp.zeros((NUM_EXAMPLES, 5))},
    }


def smooth_loss(point):
    """A network of one hidden layer, curved everywhere."""
    hidden = jnp.tanh(point["inputs"] @ point["params"]["a"] + point["activations"]["hidden"])
    errors = hidden @ point["params"]["b"] - jnp.sin(jnp.arange(NUM_EXAMPLES))
    return jnp.mean(errors**2), None


def directional_difference(function, params, direction, width=1e-5):
    ahead, behind = (function(tree.add(params, direction, s * width)) for s in (1, -1))
    return (ahead - behind) / (2 * width)


@pytest.fixture
def _float64():
    with jax.enable_x64(True):
        yield


ALL_FORMS = [
    {"input_strength": 0.3},
    {"input_strength": 0.3, "input_form": "squared"},
    {"activation_strength": 0.3, "activation_patterns": ("*",)},
    {"parameter_strength": 0.3},
]


def test_input_penalty_in_closed_form():
    """For softmax regression ∇ₓℓ = W(p − y)."""
    weights, inputs, labels, residuals = softmax_regression()
    gradient = jax.grad(lambda x: mean_loss({"params": weights, "inputs": x}, labels)[0])(inputs)
    norms = np.linalg.norm(residuals @ weights.T, axis=1)
    np.testing.assert_allclose(input_gradient.penalty(gradient), norms.mean(), rtol=1e-5)
    squared = input_gradient.penalty(gradient, squared=True)
    np.testing.assert_allclose(squared, (norms**2).mean(), rtol=1e-5)


def test_adversarial_inputs_go_a_fixed_distance_along_each_examples_gradient():
    weights, inputs, labels, residuals = softmax_regression()
    gradient = jax.grad(lambda x: mean_loss({"params": weights, "inputs": x}, labels)[0])(inputs)
    moves = input_gradient.adversarial_inputs(inputs, gradient, 0.25) - inputs
    directions = residuals @ weights.T
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(moves, 0.25 * directions, rtol=1e-4, atol=1e-6)


def test_a_zero_gradient_is_neither_moved_along_nor_differentiated_to_nan():
    gradient = jnp.zeros((2, 3)).at[0].set(1.0)
    moved = input_gradient.adversarial_inputs(jnp.ones((2, 3)), gradient, 0.5)
    np.testing.assert_array_equal(moved[1], np.ones(3))
    slope = jax.grad(input_gradient.penalty)(gradient)
    np.testing.assert_array_equal(slope[1], np.zeros(3))
    assert np.isfinite(slope).all()


@pytest.mark.usefixtures("_float64")
def test_adversarial_form_equals_the_norm_to_first_order():
    """Their losses differ by O(ε²), and so do the gradients that train the parameters."""
    strengths = np.array([1e-2, 3e-3, 1e-3, 3e-4])
    loss_gaps, gradient_gaps = [], []
    for strength in strengths:

        def penalized(params, form, strength=strength):
            penalties = GradientPenalties(input_strength=strength, input_form=form)
            return penalized_loss(smooth_loss, smooth_point() | {"params": params}, penalties)[0]

        params = smooth_point()["params"]
        (loss, slope), (exact, exact_slope) = (
            jax.value_and_grad(penalized)(params, form) for form in ("adversarial", "norm")
        )
        loss_gaps.append(abs(loss - exact))
        gradient_gaps.append(tree.global_norm(tree.add(slope, exact_slope, -1)))
    for gaps in (loss_gaps, gradient_gaps):
        slope = np.polyfit(np.log(strengths), np.log(np.array(gaps)), 1)[0]
        assert slope == pytest.approx(2, abs=0.05)


@pytest.mark.usefixtures("_float64")
def test_adversarial_inputs_are_constants_to_the_training_gradient():
    point = smooth_point()
    gradient = jax.grad(lambda x: smooth_loss(point | {"inputs": x})[0])(point["inputs"])
    moved = input_gradient.adversarial_inputs(point["inputs"], gradient, 0.5)

    def penalized(params):
        penalties = GradientPenalties(input_strength=0.5, input_form="adversarial")
        return penalized_loss(smooth_loss, point | {"params": params}, penalties)[0]

    expected = jax.grad(lambda p: smooth_loss(point | {"params": p, "inputs": moved})[0])
    found = jax.grad(penalized)(point["params"])
    jax.tree.map(np.testing.assert_allclose, found, expected(point["params"]))


def test_activation_penalty_in_closed_form():
    """Of the logits: ∂ℓ/∂logits = p − y, so the penalty is the mean of ‖p − y‖²."""
    weights, inputs, labels, residuals = softmax_regression()

    def penalized(weights):
        point = {
            "params": weights,
            "inputs": inputs,
            "activations": {"logits": jnp.zeros((NUM_EXAMPLES, 4))},
        }
        penalties = GradientPenalties(activation_strength=0.7, activation_patterns=("*",))
        loss, aux, terms = penalized_loss(lambda p: mean_loss(p, labels), point, penalties)
        return loss, (aux, terms)

    def by_hand(weights):
        probabilities = jax.nn.softmax(inputs @ weights)
        squares = jnp.sum((probabilities - labels) ** 2, axis=1)
        return mean_loss({"params": weights, "inputs": inputs}, labels)[0] + 0.7 * squares.mean()

    (loss, (aux, terms)), gradient = jax.value_and_grad(penalized, has_aux=True)(weights)
    np.testing.assert_allclose(loss, by_hand(weights), rtol=1e-5)
    np.testing.assert_allclose(gradient, jax.grad(by_hand)(weights), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        terms["activation_gradient"], 0.7 * (residuals**2).sum(1).mean(), 1e-5
    )
    np.testing.assert_allclose(aux["logits"], inputs @ weights, rtol=1e-5)


def test_parameter_penalty_in_closed_form():
    """Of L = ½θᵀHθ: ¼γ‖Hθ‖², whose gradient is ½γ·H²θ."""
    matrix = jnp.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
    start = jnp.array([1.0, -2.0, 0.5])

    def penalized(params):
        penalties = GradientPenalties(parameter_strength=0.8)
        point = {"params": params}
        return penalized_loss(
            lambda p: (0.5 * p["params"] @ matrix @ p["params"], None), point, penalties
        )[0]

    loss, gradient = jax.value_and_grad(penalized)(start)
    slope = matrix @ start
    np.testing.assert_allclose(loss, 0.5 * start @ slope + 0.2 * slope @ slope, rtol=1e-6)
    np.testing.assert_allclose(gradient, slope + 0.4 * matrix @ slope, rtol=1e-6)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("form", [*ALL_FORMS, {k: v for f in ALL_FORMS for k, v in f.items()}])
def test_gradients_are_those_of_finite_differences(form):
    def penalized(params):
        point = smooth_point() | {"params": params}
        return penalized_loss(smooth_loss, point, GradientPenalties(**form))[0]

    params, direction = (smooth_point(seed)["params"] for seed in (0, 1))
    slope = tree.inner_product(jax.grad(penalized)(params), direction)
    expected = directional_difference(penalized, params, direction)
    np.testing.assert_allclose(slope, expected, rtol=1e-7)


@pytest.mark.usefixtures("_float64")
def test_terms_add_up_whatever_their_company():
    point = smooth_point()
    alone = []
    for form in ALL_FORMS[1:]:
        alone.append(values_of(penalized_loss(smooth_loss, point, GradientPenalties(**form))[2]))
    together = {k: v for form in ALL_FORMS[1:] for k, v in form.items()}
    loss, _, terms = penalized_loss(smooth_loss, point, GradientPenalties(**together))
    expected = {name: value for term in alone for name, value in term.items()}
    assert values_of(terms) == pytest.approx(expected, rel=1e-12)
    assert float(loss) == pytest.approx(
        float(smooth_loss(point)[0]) + sum(expected.values()), rel=1e-12
    )


def values_of(terms):
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("mode", ["two_pass", "exact"])
def test_the_gradient_norm_penalty_takes_the_sum_as_its_loss(mode):
    together = {k: v for form in ALL_FORMS[:3] for k, v in form.items()}

    def penalized(params):
        point = smooth_point() | {"params": params}
        return penalized_loss(smooth_loss, point, GradientPenalties(**together))[0]

    params, r = smooth_point()["params"], 1e-5
    slope = jax.grad(penalized)(params)
    ahead = jax.grad(penalized)(tree.add(params, tree.unit(slope), r))
    expected = tree.add(slope, tree.scale(tree.add(ahead, slope, -1), 0.2 / r))
    _, found = gradient_norm.value_and_grad(penalized, r=r, alpha=0.2 / r, mode=mode)(params)
    assert tree.global_norm(tree.add(found, expected, -1)) < 1e-4 * tree.global_norm(expected)


def test_parameter_penalty_is_that_of_the_mean_gradient_over_devices():
    scales = jnp.array([1.0, 2.0, 3.0, 6.0])
    start = jnp.array([1.0, -2.0])

    def of_device(scale):
        def penalized(params):
            gradient = jax.grad(lambda p: scale * jnp.sum(p**4))(params)
            return parameter_gradient.penalty(gradient, lambda g: jax.lax.pmean(g, "batch"))

        value, gradient = jax.value_and_grad(penalized)(start)
        return value, jax.lax.pmean(gradient, "batch")

    values, gradients = jax.pmap(of_device, axis_name="batch")(scales)

    def by_hand(params):
        return jnp.sum((3 * 4 * params**3) ** 2)

    np.testing.assert_allclose(values, [by_hand(start)] * 4, rtol=1e-6)
    np.testing.assert_allclose(gradients, [jax.grad(by_hand)(start)] * 4, rtol=1e-6)


class Network(nn.Module):
    """A layer that is called twice, within or without rematerialization."""

    remat: bool = False

    @nn.compact
    def __call__(self, x):
        dense = nn.remat(nn.Dense) if self.remat else nn.Dense
        shared = dense(3, name="shared")
        x = nn.gelu(shared(x))
        x = nn.gelu(shared(x))
        return nn.Dense(2, name="head")(x)


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, x):
        layers = nn.scan(
            lambda layer, x, _: (nn.gelu(layer(x)), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=2,
        )
        return layers(nn.Dense(3, name="layer"), x, None)[0]


INPUTS = np.random.default_rng(0).normal(size=(NUM_EXAMPLES, 3)).astype(np.float32)


def activation_penalty(network, variables, patterns, inputs=INPUTS):
    zeros = activation_gradient.zeros_for(patterns, lambda: network.apply(variables, inputs))

    def loss(zeros):
        with activation_gradient.added(zeros):
            return jnp.mean(jnp.sum(jnp.sin(network.apply(variables, inputs)), axis=-1))

    return activation_gradient.penalty(jax.grad(loss)(zeros))


@pytest.mark.parametrize("remat", [False, True])
def test_activations_of_a_flax_module_are_what_its_modules_return(remat):
    network = Network(remat)
    variables = network.init(jax.random.PRNGKey(0), INPUTS)
    shared, head = variables["params"]["shared"], variables["params"]["head"]

    def loss_of_one(first, second, third, x):
        x = nn.gelu(x @ shared["kernel"] + shared["bias"] + first)
        x = nn.gelu(x @ shared["kernel"] + shared["bias"] + second)
        return jnp.sum(jnp.sin(x @ head["kernel"] + head["bias"] + third))

    zeros = jnp.zeros(3), jnp.zeros(3), jnp.zeros(2)
    gradients = [jax.grad(loss_of_one, argnums=(0, 1, 2))(*zeros, x) for x in INPUTS]
    squares = np.mean([[np.sum(g**2) for g in example] for example in gradients], axis=0)
    names = ("shared", "shared:1", "head")
    for size in (1, 2, 3):
        for chosen in itertools.combinations(range(3), size):
            value = activation_penalty(network, variables, [names[i] for i in chosen])
            np.testing.assert_allclose(value, sum(squares[i] for i in chosen), rtol=1e-5)


def test_adding_zeros_changes_nothing():
    network = Network()
    variables = network.init(jax.random.PRNGKey(0), INPUTS)
    zeros = activation_gradient.zeros_for("*", lambda: network.apply(variables, INPUTS))
    with activation_gradient.added(zeros):
        result = network.apply(variables, INPUTS)
    np.testing.assert_array_equal(result, network.apply(variables, INPUTS))


def test_a_pattern_that_matches_no_activation_lists_those_there_are():
    variables = Network().init(jax.random.PRNGKey(0), INPUTS)
    with pytest.raises(UserError, match=r"'conv\*', which matches nothing; there are: shared, "):
        activation_penalty(Network(), variables, ["head", "conv*"])


def test_activations_of_scanned_layers_are_refused():
    variables = Scanned().init(jax.random.PRNGKey(0), INPUTS)
    with pytest.raises(UserError, match="names layer, which is computed by one scan"):
        activation_penalty(Scanned(), variables, ["layer"])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"input_form": "cubed"}, "'cubed'; known: squared"),
        ({"activation_strength": 0.1}, "no patterns of activations"),
    ],
)
def test_bad_settings_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        GradientPenalties(**settings)
