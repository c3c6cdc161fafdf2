"""When weights become zero, how long they stay so, and how many there are."""

import jax.numpy as jnp
import numpy as np
import pytest

from gnp.regularization.epochs import Epochs
from gnp.regularization.pruning import Threshold, sparsity
from gnp.regularization.weight_groups import WeightGroups

STEPS_PER_EPOCH = 4
WEIGHTS = {"kernel": jnp.array([[0.01, -3.0], [0.02, 4.0]]), "bias": jnp.array([0.01, 1.0])}


def threshold(kind="elements", limit=0.015, epochs=None, release=None):
    rules = (("kernel", limit, WeightGroups(kind)),)
    return Threshold(rules, epochs or Epochs(), release, STEPS_PER_EPOCH)


def test_small_elements_become_zero_and_the_rest_stays():
    result = threshold().cut(WEIGHTS, jnp.int32(3))
    np.testing.assert_array_equal(result["kernel"], np.float32([[0, -3], [0.02, 4]]))
    np.testing.assert_array_equal(result["bias"], WEIGHTS["bias"])


@pytest.mark.parametrize(
    ("kind", "limit", "expected"),
    [
        ("columns", 0.0158, [[0.01, -3], [0.02, 4]]),  # the root mean square is 0.01581
        ("columns", 0.0159, [[0, -3], [0, 4]]),
        ("rows", 2.2, [[0, 0], [0.02, 4]]),
        ("layers", 3.0, [[0, 0], [0, 0]]),
        ("blocks", 3.0, [[0, 0], [0, 0]]),
    ],
)
def test_groups_become_zero_by_their_root_mean_square(kind, limit, expected):
    result = threshold(kind, limit).cut(WEIGHTS, jnp.int32(3))
    np.testing.assert_array_equal(result["kernel"], np.float32(expected))


@pytest.mark.parametrize(
    ("options", "cutting"),
    [
        ({}, [3, 7, 11, 15, 19]),
        ({"epochs": Epochs(first=1, last=4, every=2)}, [7, 15]),
        ({"epochs": Epochs(first=1), "release": 4}, [7, 11]),
    ],
)
def test_it_cuts_at_the_end_of_its_epochs(options, cutting):
    mine = threshold(**options)
    cut = [s for s in range(20) if mine.cut(WEIGHTS, jnp.int32(s))["kernel"][0, 0] == 0]
    assert cut == cutting


@pytest.mark.parametrize(("release", "held"), [(None, range(8, 20)), (3, range(8, 12))])
def test_zeros_are_held_from_the_first_cut_to_the_release(release, held):
    mine = threshold(epochs=Epochs(first=1), release=release)
    start = {"kernel": jnp.array([[0.0, 1.0], [0.0, 1.0]]), "bias": jnp.zeros(2)}
    moved = {"kernel": start["kernel"] + 5, "bias": start["bias"] + 5}
    for step in range(20):
        result = mine.hold(moved, start, jnp.int32(step))
        expected = [[0, 6], [0, 6]] if step in held else [[5, 6], [5, 6]]
        np.testing.assert_array_equal(result["kernel"], expected)
        np.testing.assert_array_equal(result["bias"], [5, 5])


def test_sparsity_counts_elements_and_groups():
    params = {
        "a": {"kernel": jnp.zeros((3, 3, 2, 4)).at[0, 0, 0, 0].set(1.0)},
        "b": {"kernel": jnp.ones((2, 2)).at[0].set(0.0), "bias": jnp.zeros(2)},
    }
    kinds = {
        "a/kernel": [WeightGroups("filters"), WeightGroups("kernels")],
        "b/kernel": [WeightGroups("rows")],
    }
    shares = {name: float(share) for name, share in sparsity(params, kinds).items()}
    assert shares == pytest.approx(
        {
            "a/kernel": 71 / 72,
            "a/kernel/filters": 3 / 4,
            "a/kernel/kernels": 7 / 8,
            "b/kernel": 1 / 2,
            "b/kernel/rows": 1 / 2,
            "all": 73 / 76,
        }
    )
