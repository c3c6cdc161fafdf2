"""The training gradient in closed form, by its properties, and inside other people's loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gnp.regularization import gradient_norm

MATRIX = jnp.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
START = jnp.array([1.0, -2.0, 0.5])


def quadratic(params):
    return 0.5 * params @ MATRIX @ params


def exact_gradient(params, r, alpha):
    """On a quadratic the two-pass gradient is g + α·r·H·g/‖g‖ without error."""
    gradient = MATRIX @ params
    return gradient + alpha * r * MATRIX @ gradient / jnp.linalg.norm(gradient)


@pytest.mark.parametrize("r", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("alpha", [0.3, 0.8, 1.0])
def test_quadratic_is_exact_in_plain_jax(r, alpha):
    loss, gradient = gradient_norm.value_and_grad(quadratic, r=r, alpha=alpha)(START)
    np.testing.assert_allclose(loss, quadratic(START), rtol=1e-6)
    np.testing.assert_allclose(gradient, exact_gradient(START, r, alpha), rtol=1e-5)


def test_one_step_of_an_optax_optimizer_on_a_quadratic():
    optimizer = optax.sgd(0.1)
    _, gradient = gradient_norm.value_and_grad(quadratic, r=0.5, alpha=0.8)(START)
    updates, _ = optimizer.update(gradient, optimizer.init(START), START)
    expected = START - 0.1 * exact_gradient(START, 0.5, 0.8)
    np.testing.assert_allclose(optax.apply_updates(START, updates), expected, rtol=1e-5)


def test_alpha_one_is_sam():
    _, gradient = gradient_norm.value_and_grad(quadratic, r=0.3, alpha=1.0)(START)
    clean = jax.grad(quadratic)(START)
    sam = jax.grad(quadratic)(START + 0.3 * clean / jnp.linalg.norm(clean))
    np.testing.assert_allclose(gradient, sam, rtol=1e-6)


@pytest.mark.parametrize(("r", "alpha"), [(0.0, 0.8), (0.5, 0.0)])
def test_zero_r_or_alpha_is_the_standard_gradient(r, alpha):
    for wrap in (float, jnp.float32):
        _, gradient = gradient_norm.value_and_grad(quadratic, r=wrap(r), alpha=wrap(alpha))(START)
        np.testing.assert_array_equal(gradient, jax.grad(quadratic)(START))


def test_normed_mixing_takes_the_unit_gradient():
    _, gradient = gradient_norm.value_and_grad(
        quadratic, r=0.3, alpha=0.6, norm_perturbations=True
    )(START)
    clean = jax.grad(quadratic)(START)
    direction = clean / jnp.linalg.norm(clean)
    expected = 0.4 * direction + 0.6 * jax.grad(quadratic)(START + 0.3 * direction)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_zero_gradient_gives_no_perturbation_and_no_nan():
    loss, gradient = gradient_norm.value_and_grad(quadratic, r=0.3, alpha=0.8)(jnp.zeros(3))
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_aux_is_that_of_the_clean_pass():
    def loss(params, scale):
        return scale * quadratic(params), {"params": params}

    penalized = gradient_norm.value_and_grad(loss, r=0.5, alpha=1.0, has_aux=True)
    (value, aux), _ = penalized(START, 2.0)
    np.testing.assert_array_equal(aux["params"], START)
    np.testing.assert_allclose(value, 2 * quadratic(START), rtol=1e-6)


def test_schedules_need_the_step():
    penalized = gradient_norm.value_and_grad(
        quadratic, r=lambda step: 0.1 * step, alpha=optax.linear_schedule(0.0, 1.0, 10)
    )
    _, gradient = jax.jit(penalized)(START, step=5)
    np.testing.assert_allclose(gradient, exact_gradient(START, 0.5, 0.5), rtol=1e-5)
    with pytest.raises(TypeError, match="step"):
        penalized(START)


def test_transforms_vmap_and_pmap_and_shard_map():
    starts = jnp.stack([START, 2 * START, -START, START + 1])
    expected = jnp.stack([exact_gradient(start, 0.2, 0.8) for start in starts])
    penalized = gradient_norm.value_and_grad(quadratic, r=0.2, alpha=0.8)
    np.testing.assert_allclose(jax.vmap(penalized)(starts)[1], expected, rtol=1e-5)
    np.testing.assert_allclose(jax.pmap(penalized)(starts)[1], expected, rtol=1e-5)

    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("batch")
    sharded = jax.shard_map(
        lambda start: penalized(start[0])[1][None], mesh=mesh, in_specs=spec, out_specs=spec
    )
    np.testing.assert_allclose(sharded(starts), expected, rtol=1e-5)


def test_synced_perturbation_is_one_for_all_devices():
    scales = jnp.array([1.0, 2.0, 3.0, 6.0])

    def loss(params, scale):
        return scale * quadratic(params)

    def gradient_of(axis_name):
        penalized = gradient_norm.value_and_grad(loss, r=0.2, alpha=0.8, axis_name=axis_name)

        def step(scale):
            return jax.lax.pmean(penalized(START, scale)[1], "batch")

        return jax.pmap(step, axis_name="batch", out_axes=None)(scales)

    # The mean loss is three times the quadratic; one perturbation makes it exactly that gradient.
    mean_clean = 3 * MATRIX @ START
    direction = mean_clean / jnp.linalg.norm(mean_clean)
    expected = 0.2 * mean_clean + 0.8 * 3 * MATRIX @ (START + 0.2 * direction)
    np.testing.assert_allclose(gradient_of("batch"), expected, rtol=1e-5)


@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_gives_the_gradient_of_the_mean_loss(check_vma):
    scales, spec = jnp.array([1.0, 2.0, 3.0, 6.0]), jax.sharding.PartitionSpec
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))

    def loss(params, scale):
        own = scale[0] * quadratic(params)
        return jax.lax.pmean(own, "batch") if check_vma else own

    axis_name = None if check_vma else "batch"
    penalized = gradient_norm.value_and_grad(loss, r=0.2, alpha=0.8, axis_name=axis_name)

    def step(params, scale):
        gradient = penalized(params, scale)[1]
        return gradient if check_vma else jax.lax.pmean(gradient, "batch")

    gradient = jax.shard_map(
        step, mesh=mesh, in_specs=(spec(), spec("batch")), out_specs=spec(), check_vma=check_vma
    )(START, scales)
    np.testing.assert_allclose(gradient, 3 * exact_gradient(START, 0.2, 0.8), rtol=1e-5)


def test_bfloat16_parameters_keep_their_type():
    params = {"a": jnp.ones(3000, jnp.bfloat16)}
    _, gradient = gradient_norm.value_and_grad(
        lambda p: jnp.sum(p["a"] ** 2).astype(jnp.float32), r=0.1, alpha=0.5
    )(params)
    assert gradient["a"].dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"norm_perturbations": True},
        {"ascent": "adaptive"},
        {"ascent_steps": 2},
        {"surrogate_gap": 0.3},
        {"mode": "exact"},
    ],
    ids=str,
)
def test_large_narrow_parameters_are_perturbed(dtype, form):
    """The numbers next to 100.5 are 0.5 away in bfloat16; a perturbation of 0.1 must not vanish."""
    params = jnp.array([100.5, 101.0, 99.5], dtype)

    def loss(params):
        distance = params - jnp.asarray(100, params.dtype)
        return 0.5 * distance @ MATRIX.astype(params.dtype) @ distance + distance[0] ** 3

    penalized = gradient_norm.value_and_grad(loss, r=0.1, alpha=0.8, **form)
    expected = penalized(params.astype(jnp.float32))[1]
    found = penalized(params)[1]
    assert found.dtype == dtype
    np.testing.assert_allclose(np.float32(found), expected, rtol=4 * float(jnp.finfo(dtype).eps))
    if not form:  # the test would see it
        clean = jax.grad(loss)(params)
        assert np.abs(np.float32(found - clean)).max() > 0.05 * np.abs(np.float32(clean)).max()


def test_a_number_is_a_parameter_too():
    loss, gradient = gradient_norm.value_and_grad(lambda w: w**2, r=0.5, alpha=1.0)(3.0)
    assert (loss, gradient) == (9.0, 7.0)


@pytest.mark.parametrize("argnums", [1, -1])
def test_any_argument_may_be_the_parameters(argnums):
    def loss(scale, params):
        return scale * quadratic(params)

    _, gradient = gradient_norm.value_and_grad(loss, 0.2, 0.8, argnums=argnums)(2.0, START)
    expected = gradient_norm.value_and_grad(lambda p: 2 * quadratic(p), 0.2, 0.8)(START)[1]
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("r", [0.0, 0.2])
def test_several_arguments_have_one_norm_and_a_tuple_of_gradients(r):
    def loss(a, scale, b):
        value = scale * quadratic(jnp.stack([a, b[0], b[1]]))
        return value, value + 1

    penalized = gradient_norm.value_and_grad(loss, r, 0.8, argnums=(0, 2), has_aux=True)
    (value, aux), gradient = jax.jit(penalized)(START[0], 1.0, START[1:])
    assert isinstance(gradient, tuple)
    assert aux == value + 1
    found = jnp.concatenate([gradient[0][None], gradient[1]])
    np.testing.assert_allclose(found, exact_gradient(START, r, 0.8), rtol=1e-5)


def test_parameters_that_are_not_passed_by_position_are_missed():
    penalized = gradient_norm.value_and_grad(quadratic, 0.2, 0.8, argnums=(0, 1))
    with pytest.raises(TypeError, match=r"argnums is \(0, 1\), but the call has 1 positional"):
        penalized(START)


@pytest.mark.parametrize(
    ("backend", "r", "passes"), [("gpu", 0.0, 1), ("gpu", 0.1, 2), ("cpu", 0.0, 2), ("cpu", 0.1, 2)]
)
def test_traced_zero_makes_one_pass_where_branches_are_fast(backend, r, passes, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    seen = []

    def loss(params):
        jax.debug.callback(lambda: seen.append(1))
        return quadratic(params)

    jax.jit(gradient_norm.value_and_grad(loss, r=jnp.float32(r), alpha=0.8))(START)
    jax.effects_barrier()
    assert len(seen) == passes


@pytest.mark.parametrize("zero", [0, 0.0, np.float64(0)])
def test_the_number_zero_makes_one_pass(zero):
    passes = []

    def loss(params):
        passes.append(1)
        return quadratic(params)

    gradient_norm.value_and_grad(loss, r=zero, alpha=0.8)(START)
    assert len(passes) == 1


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize(("r", "alpha"), [(0.0, 0.5), (jnp.inf, 0.0)])
def test_traced_zero_is_standard_training_whatever_the_other_is(backend, r, alpha, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    @jax.jit
    def gradient_of(r, alpha):
        return gradient_norm.value_and_grad(quadratic, r, alpha, norm_perturbations=True)(START)

    expected = jax.jit(jax.value_and_grad(quadratic))(START)
    jax.tree.map(np.testing.assert_array_equal, gradient_of(r, alpha), expected)


SIZES = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)
TREES = st.dictionaries(st.sampled_from("abcd"), SIZES, min_size=1)
DTYPES = st.sampled_from([jnp.float32, jnp.bfloat16, jnp.float16])
STRENGTHS = st.floats(0.01, 2.0)


def random_tree(shapes, dtype, seed):
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=shapes[name]), dtype) for name in sorted(shapes)}


def curved_loss(params):
    """Half the sum of the squares, each weighted by its leaf's number."""
    leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(params)]
    return sum(0.5 * (i + 1) * jnp.sum(leaf**2) for i, leaf in enumerate(leaves))


# Every new shape is compiled anew, so a few examples must do.
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(TREES, DTYPES, STRENGTHS, st.integers(0, 2**31))
def test_any_tree_of_any_type_has_the_closed_form(shapes, dtype, r, seed):
    params = random_tree(shapes, dtype, seed)
    _, gradient = gradient_norm.value_and_grad(curved_loss, r=r, alpha=1.0)(params)
    clean = [(i + 1) * np.float32(leaf) for i, leaf in enumerate(params.values())]
    norm = np.sqrt(sum(np.sum(g**2) for g in clean))
    precision = {"rtol": 4 * float(jnp.finfo(dtype).eps), "atol": 8 * float(jnp.finfo(dtype).eps)}
    for i, (leaf, g) in enumerate(zip(gradient.values(), clean, strict=True)):
        assert leaf.dtype == dtype
        expected = g + r * (i + 1) * g / norm
        np.testing.assert_allclose(np.float32(leaf), expected, **precision)


# Every new shape is compiled anew, so a few examples must do.
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(TREES, STRENGTHS, st.floats(0.0, 1.0), st.integers(0, 2**31))
def test_gradient_is_linear_in_alpha(shapes, r, alpha, seed):
    params = random_tree(shapes, jnp.float32, seed)
    plain, mixed, sam = (
        gradient_norm.value_and_grad(curved_loss, r=r, alpha=jnp.float32(a))(params)[1]
        for a in (0.0, alpha, 1.0)
    )
    for name, leaf in mixed.items():
        expected = (1 - alpha) * plain[name] + alpha * sam[name]
        np.testing.assert_allclose(leaf, expected, rtol=1e-4, atol=1e-5)
