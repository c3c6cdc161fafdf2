"""Variables of one model in another: what is taken, what stays fresh, what is refused."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax import traverse_util

from gnp.errors import UserError
from gnp.model import create_model
from gnp.model.transfer import head_parameters, take_variables

SHAPE = (8, 8, 1)


def variables_of(model, seed=0):
    variables = jax.jit(lambda key: model.init(key, np.zeros((1, *SHAPE)), train=False))
    return {"batch_stats": {}, **variables(jax.random.key(seed))}


def transfer(ours, theirs, **changed):
    fresh, given = variables_of(ours), variables_of(theirs, seed=1)
    given |= changed
    taken = take_variables(fresh, given, head_parameters(ours, SHAPE), "X")
    assert not taken.resized
    return fresh, given, taken.variables, taken.left_fresh


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("WideResNet_10_1", {"params/Dense_0/kernel", "params/Dense_0/bias"}),
        ("ViT_Micro", {"params/head/kernel", "params/head/bias"}),
    ],
)
def test_the_head_is_what_depends_on_the_number_of_classes(name, head):
    assert head_parameters(create_model(name, 10), SHAPE) == head


def test_only_the_last_of_several_dense_layers_is_the_head():
    class Model(nn.Module):
        num_outputs: int

        @nn.compact
        def __call__(self, x, train):
            x = nn.Dense(10)(x.reshape(len(x), -1))
            return nn.Dense(self.num_outputs, use_bias=False)(x)

    assert head_parameters(Model(10), SHAPE) == {"params/Dense_1/kernel"}


@pytest.mark.parametrize("name", ["WideResNet_10_1", "ViT_Micro"])
def test_the_same_model_is_taken_whole(name):
    model = create_model(name, 10)
    _, given, taken, left = transfer(model, model)
    jax.tree.map(np.testing.assert_array_equal, taken, given)
    assert left == []


def test_a_head_of_other_classes_stays_fresh_and_is_named():
    fresh, given, taken, left = transfer(
        create_model("WideResNet_10_1", 10), create_model("WideResNet_10_1", 7)
    )
    assert left == ["params/Dense_0/bias", "params/Dense_0/kernel"]
    expected = traverse_util.flatten_dict(given, sep="/") | {
        path: traverse_util.flatten_dict(fresh, sep="/")[path] for path in left
    }
    jax.tree.map(
        np.testing.assert_array_equal, traverse_util.flatten_dict(taken, sep="/"), expected
    )


@pytest.mark.parametrize("ours_scanned", [True, False])
def test_blocks_are_stacked_and_unstacked(ours_scanned):
    fields = {"transformer": {"num_layers": 3}}
    scanned = create_model("ViT_Micro", 10, scan_layers=True, **fields)
    unrolled = create_model("ViT_Micro", 10, **fields)
    ours, theirs = (scanned, unrolled) if ours_scanned else (unrolled, scanned)
    _, given, taken, left = transfer(ours, theirs)
    assert left == []
    images = jax.random.normal(jax.random.key(2), (2, *SHAPE))
    np.testing.assert_allclose(
        ours.apply(taken, images, train=False),
        theirs.apply(given, images, train=False),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("theirs", "first"),
    [
        (("WideResNet_16_4", {}), r"batch_stats/BatchNorm_0/mean is \(256,\) there and \(64,\)"),
        (("ViT_Micro", {}), r"batch_stats/BatchNorm_0/mean is absent there and \(64,\) here"),
    ],
)
def test_another_model_is_refused_by_its_first_difference(theirs, first):
    name, fields = theirs
    with pytest.raises(UserError, match=f"^X is of another model: {first}.*; name weights of"):
        transfer(create_model("WideResNet_10_1", 10), create_model(name, 10, **fields))


def test_parameters_that_we_do_not_have_are_refused():
    model = create_model("ViT_Micro", 10)
    params = variables_of(model)["params"] | {"more": {"kernel": np.zeros(3)}}
    with pytest.raises(UserError, match=r"params/more/kernel is \(3,\) there and absent here"):
        transfer(model, model, params=params)
