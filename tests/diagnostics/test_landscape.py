"""Directions and slices of a landscape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.diagnostics import landscape
from gnp.diagnostics.landscape import draw_landscape

KEY = jax.random.PRNGKey(0)
PARAMS = {
    "conv": {"kernel": jax.random.normal(KEY, (3, 3, 2, 4)), "bias": jnp.ones(4)},
    "head": {"kernel": 5 * jax.random.normal(KEY, (6, 3))},
    "pruned": {"kernel": jnp.zeros((6, 3)).at[:, 1].set(1.0)},
}


def filters(kernel):
    return np.asarray(kernel).reshape(-1, kernel.shape[-1])


def test_each_filter_is_as_long_as_that_of_the_parameters():
    (direction,) = landscape.random_directions(PARAMS, 1, seed=3)
    for name in PARAMS:
        lengths = [np.linalg.norm(filters(t[name]["kernel"]), axis=0) for t in (direction, PARAMS)]
        np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert not direction["conv"]["bias"].any()


def test_a_layer_of_heads_has_a_filter_for_each_output_of_each_head():
    query = {"kernel": jnp.ones((4, 2, 3)) * jnp.array([[1.0], [10.0]]), "bias": jnp.ones((2, 3))}
    (direction,) = landscape.random_directions({"query": query}, 1, seed=0)
    lengths = jnp.linalg.norm(direction["query"]["kernel"], axis=0)
    np.testing.assert_allclose(lengths, [[2.0] * 3, [20.0] * 3], rtol=1e-5)
    assert not direction["query"]["bias"].any()


def test_scaling_a_layer_scales_its_direction_alike():
    scaled = PARAMS | {"head": {"kernel": 100 * PARAMS["head"]["kernel"]}}
    (a,), (b,) = (landscape.random_directions(p, 1, seed=0) for p in (PARAMS, scaled))
    np.testing.assert_allclose(100 * a["head"]["kernel"], b["head"]["kernel"], rtol=1e-5)
    np.testing.assert_array_equal(a["conv"]["kernel"], b["conv"]["kernel"])


def test_directions_depend_on_their_number_and_seed():
    first, second = landscape.random_directions(PARAMS, 2, seed=0)
    (again,) = landscape.random_directions(PARAMS, 1, seed=0)
    (other,) = landscape.random_directions(PARAMS, 1, seed=1)
    kernels = [np.ravel(d["head"]["kernel"]) for d in (first, again, second, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(np.corrcoef(kernels)[0, 2:]).max() < 0.9


def test_narrow_parameters_are_moved_precisely():
    """From 100 to 100.1 there is no number of bfloat16."""
    moved = landscape.moved({"a": jnp.full(3, 100, jnp.bfloat16)}, [{"a": jnp.ones(3)}], [0.1])
    np.testing.assert_allclose(moved["a"], 100.1, rtol=1e-6)


def test_a_grid_goes_row_by_row_and_meets_zero():
    points = landscape.grid(2.0, 5, 2)
    assert points.shape == (25, 2)
    np.testing.assert_array_equal(points[0], [-2, -2])
    np.testing.assert_array_equal(points[1], [-2, -1])
    np.testing.assert_array_equal(points[12], [0, 0])
    assert landscape.grid(1.0, 4, 1).shape == (4, 1)


def test_a_slice_of_a_quadratic_is_a_parabola():
    directions = landscape.random_directions(PARAMS, 2, seed=0)

    def loss(point):
        params = landscape.moved(PARAMS, directions, point)
        return sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(params)), 0.0

    points = landscape.grid(1.0, 9, 1)[:, [0, 0]] * [1, 0]
    figures = landscape.evaluate_points(points, loss, np.full((9, 2), np.nan), lambda figures: None)
    fit = np.polyfit(points[:, 0], figures[:, 0], 2)
    np.testing.assert_allclose(np.polyval(fit, points[:, 0]), figures[:, 0], rtol=1e-4)
    lengths = sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(directions[0]))
    assert fit[0] == pytest.approx(lengths, rel=1e-3)


def test_an_evaluation_that_is_stopped_keeps_its_points_and_resumes():
    points = landscape.grid(1.0, 5, 1)
    saved, asked = [], []

    def figures_at(point):
        asked.append(point[0])
        if len(asked) == 3:
            raise KeyboardInterrupt
        return point[0] ** 2, 0.5

    nothing = np.full((5, 2), np.nan)
    with pytest.raises(KeyboardInterrupt):
        landscape.evaluate_points(points, figures_at, nothing, lambda f: saved.append(f.copy()))
    figures = landscape.evaluate_points(points, figures_at, saved[-1], lambda f: None)
    np.testing.assert_allclose(figures[:, 0], points[:, 0] ** 2)
    assert asked == [-1, -0.5, 0, 0, 0.5, 1]


@pytest.mark.parametrize("num_directions", [1, 2])
def test_pictures_are_drawn(tmp_path, num_directions):
    points = landscape.grid(1.0, 5, num_directions)
    figures = {
        "of": {"data": "train", "step": 3, "seed": 0},
        "points": points.tolist(),
        "loss": (0.1 + (points**2).sum(axis=1)).tolist(),
        "error_rate": (points**2).mean(axis=1).tolist(),
    }
    draw_landscape(figures, tmp_path / "slice.png")
    assert (tmp_path / "slice.png").stat().st_size > 5000
