"""Penalties on weights and their groups, in closed form."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gnp.errors import UserError
from gnp.regularization.epochs import Epochs
from gnp.regularization.weight import WeightPenalty, group_lasso, l1, l2
from gnp.regularization.weight_groups import WeightGroups, group_names

RNG = np.random.default_rng(0)
CONVOLUTION = RNG.normal(size=(3, 3, 4, 5)).astype(np.float32)
MATRIX = RNG.normal(size=(6, 7)).astype(np.float32)


def groups_by_hand(parameter, kind, block=(4, 4)):
    """The index sets of the groups, written out."""
    height, width = parameter.shape[:2]
    everything = slice(None)
    if parameter.ndim == 4:
        inputs, outputs = map(range, parameter.shape[2:])
    return {
        "elements": list(np.ndindex(*parameter.shape)),
        "layers": [...],
        "rows": [(i,) for i in range(height)],
        "columns": [(everything, j) for j in range(width)],
        "blocks": [
            (slice(i, i + block[0]), slice(j, j + block[1]))
            for i in range(0, height, block[0])
            for j in range(0, width, block[1])
        ],
        "kernels": parameter.ndim == 4
        and [(everything, everything, *pair) for pair in itertools.product(inputs, outputs)],
        "filters": parameter.ndim == 4 and [(..., o) for o in outputs],
        "channels": parameter.ndim == 4 and [(everything, everything, i) for i in inputs],
    }[kind]


KINDS = [
    (parameter, kind)
    for parameter, kinds in (
        (CONVOLUTION, ("elements", "layers", "kernels", "filters", "channels")),
        (MATRIX, ("elements", "layers", "rows", "columns", "blocks")),
    )
    for kind in kinds
]


def test_every_kind_of_groups_is_tested():
    assert {kind for _, kind in KINDS} == set(group_names())


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("parameter", "kind"), KINDS, ids=[kind for _, kind in KINDS])
def test_group_lasso_is_the_sum_over_the_groups(parameter, kind, weighted):
    members = [parameter[index] for index in groups_by_hand(parameter, kind)]
    factors = [np.sqrt(np.size(member)) if weighted else 1 for member in members]
    expected = sum(f * np.linalg.norm(np.ravel(m)) for f, m in zip(factors, members, strict=True))
    value = group_lasso(parameter, WeightGroups(kind), weighted_by_size=weighted)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(("parameter", "kind"), KINDS, ids=[kind for _, kind in KINDS])
def test_gradient_of_group_lasso(parameter, kind):
    """√|g|·w/‖w_g‖ in each group, and 0 in a group that is zero."""
    groups = groups_by_hand(parameter, kind)
    parameter = parameter.copy()
    parameter[groups[0]] = 0
    expected = np.zeros_like(parameter)
    for index in groups[1:]:
        member = parameter[index]
        expected[index] = np.sqrt(np.size(member)) * member / np.linalg.norm(np.ravel(member))
    gradient = jax.grad(lambda w: group_lasso(w, WeightGroups(kind)))(jnp.asarray(parameter))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", [(2, 3), (4, 4), (6, 7), (10, 1)])
def test_blocks_at_the_edges_may_be_smaller(block):
    members = [MATRIX[index] for index in groups_by_hand(MATRIX, "blocks", block)]
    groups = WeightGroups("blocks", block)
    np.testing.assert_allclose(
        groups.norms(MATRIX).ravel(), [np.linalg.norm(m) for m in members], rtol=1e-5
    )
    np.testing.assert_array_equal(groups.sizes(MATRIX).ravel(), [m.size for m in members])


def test_elementwise_penalties():
    np.testing.assert_allclose(l1(MATRIX), np.abs(MATRIX).sum(), rtol=1e-6)
    np.testing.assert_allclose(l2(MATRIX), 0.5 * (MATRIX**2).sum(), rtol=1e-6)
    weights = jnp.array([-2.0, 0.0, 0.5])
    np.testing.assert_array_equal(jax.grad(l1)(weights), [-1, 0, 1])
    np.testing.assert_array_equal(jax.grad(l2)(weights), weights)


def test_minimum_of_elastic_net_is_soft_thresholding():
    """½(w − a)² + s₁|w| + s₂·½w² is least at sign(a)·max(|a| − s₁, 0)/(1 + s₂)."""
    target = jnp.array([-3.0, -0.4, 0.2, 1.5])
    penalties = [WeightPenalty(l1, (("*", 0.5),)), WeightPenalty(l2, (("*", 2.0),))]

    def loss(w):
        fit = 0.5 * jnp.sum((w - target) ** 2)
        return fit + sum(penalty({"w": w}) for penalty in penalties)

    def descend(step, w):
        return w - 0.1 / (1 + step / 20) * jax.grad(loss)(w)

    found = jax.jit(lambda start: jax.lax.fori_loop(0, 2000, descend, start))(target)
    expected = np.sign(target) * np.maximum(np.abs(target) - 0.5, 0) / 3
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_first_rule_that_matches_wins_and_the_others_stay_free():
    params = {"a": {"kernel": jnp.ones(3), "bias": jnp.ones(5)}, "b": {"kernel": jnp.ones(7)}}
    penalty = WeightPenalty(l1, (("a/kernel", 10.0), ("*kernel", 1.0)))
    assert penalty(params) == 10 * 3 + 7
    assert jax.grad(penalty)(params)["a"]["bias"].sum() == 0


def test_a_pattern_that_matches_nothing_lists_what_there_is():
    penalty = WeightPenalty(l1, (("*kernle", 1.0),), field="some.field")
    with pytest.raises(UserError) as error:
        penalty({"a": {"kernel": jnp.ones(3)}, "b": {"bias": jnp.ones(1)}})
    assert str(error.value) == (
        "some.field has the pattern '*kernle', which matches nothing; there are: a/kernel, b/bias."
    )


@pytest.mark.parametrize("kind", ["filters", "rows"])
def test_groups_need_a_parameter_that_has_them(kind):
    penalty = WeightPenalty(group_lasso, (("*", 1.0, WeightGroups(kind)),))
    with pytest.raises(UserError, match=r"but a/bias has the shape \(3,\)"):
        penalty({"a": {"bias": jnp.ones(3)}})


def test_epochs():
    epochs = Epochs(first=2, last=9, every=3)
    assert [epoch for epoch in range(12) if epochs.include(epoch)] == [2, 5, 8]
    penalty = WeightPenalty(l1, (("*", 1.0),), epochs)
    values = jax.vmap(lambda epoch: penalty({"w": jnp.ones(3)}, epoch))(jnp.arange(12))
    assert np.flatnonzero(values).tolist() == [2, 5, 8]
    with pytest.raises(UserError, match="x has first_epoch 3, last_epoch 3"):
        Epochs(3, 3).check("x")


# Every new shape is compiled anew, so a few examples must do.
FEW = settings(max_examples=10, phases=[Phase.explicit, Phase.generate])
SHAPES = st.tuples(*[st.integers(1, 4)] * 4)


@FEW
@given(SHAPES, st.sampled_from(["elements", "layers", "kernels", "filters", "channels"]))
def test_groups_divide_any_parameter(shape, kind):
    """Each element lies in one group: squared norms and sizes add up, and spreading undoes it."""
    parameter = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    groups = WeightGroups(kind)
    np.testing.assert_allclose((groups.norms(parameter) ** 2).sum(), (parameter**2).sum(), 1e-4)
    assert groups.sizes(parameter).sum() == parameter.size
    assert groups.spread(groups.norms(parameter), shape).shape == shape


@FEW
@given(SHAPES, st.floats(0.1, 10.0), st.sampled_from(["elements", "layers", "filters"]))
def test_group_lasso_is_homogeneous_and_its_gradient_points_away_from_zero(shape, scale, kind):
    parameter = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)

    def penalty(w):
        return group_lasso(w, WeightGroups(kind))

    np.testing.assert_allclose(penalty(scale * parameter), scale * penalty(parameter), rtol=1e-4)
    slope = jax.grad(penalty)(parameter)
    np.testing.assert_allclose(jnp.sum(slope * parameter), penalty(parameter), rtol=1e-4)
