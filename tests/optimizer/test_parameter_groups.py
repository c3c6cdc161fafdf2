"""Learning rates and weight decay by pattern and by layer."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from gnp.errors import UserError
from gnp.model import create_model
from gnp.optimizer.build import set_learning_rate
from tests.training.toy import ToyModel, toy_settings

VIT = {"opt.layer_decay": 0.5}
GROUPS = (("Dense_1/*", 10.0), ("*/kernel", 0.1))


def updates(gradient=1.0, model=None, shape=(2, 2, 1), **fields):
    """What the optimizer adds to parameters of 1 at a learning rate of 1, by path."""
    settings = toy_settings(**fields)
    state = settings.initial_state(model or ToyModel(), shape)
    params = jax.tree.map(jnp.ones_like, state.params)
    gradients = jax.tree.map(lambda x: gradient * jnp.ones_like(x), params)
    changes, _ = settings.optimizer.transformation.update(
        gradients, set_learning_rate(state.opt_state, 1.0), params
    )
    flat = traverse_util.flatten_dict(jax.device_get(changes), sep="/")
    return {path: float(x.ravel()[0]) for path, x in flat.items()}


@pytest.mark.parametrize("opt_type", ["SGD", "Momentum", "AdamW", "RMSProp"])
def test_the_first_pattern_that_matches_sets_the_rate(opt_type):
    plain = updates(**{"opt.opt_type": opt_type})
    found = updates(**{"opt.opt_type": opt_type, "opt.groups": GROUPS})
    factors = {path: found[path] / plain[path] for path in plain}
    expected = dict.fromkeys(plain, 1.0) | {"Dense_0/kernel": 0.1}
    expected |= {"Dense_1/kernel": 10.0, "Dense_1/bias": 10.0}
    assert factors == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spares", [False, True])
def test_weight_decay_of_adamw_by_pattern(spares):
    """Without a gradient, the update is the decay."""
    fields = {"opt.opt_type": "AdamW", "no_weight_decay_on_bn": spares}
    found = updates(0.0, **fields, **{"opt.groups": (("Dense_1/*", 2.0, 0.05),)})
    expected = dict.fromkeys(found, -0.0 if spares else -0.3)
    expected |= {"Dense_0/kernel": -0.3, "Dense_1/kernel": -0.1}
    expected["Dense_1/bias"] = 0.0 if spares else -0.1
    assert found == pytest.approx(expected, rel=1e-5)


def test_rates_fall_from_layer_to_layer_and_the_log_says_so(caplog):
    with caplog.at_level(logging.INFO, logger="gnp"):
        found = updates(
            model=create_model("ViT_Micro", 10),
            shape=(8, 8, 1),
            **VIT,
            **{"opt.opt_type": "SGD", "opt.groups": (("head/bias", 3.0),)},
        )
    assert found["head/kernel"] == -1
    assert found["head/bias"] == -3
    assert found["norm/scale"] == found["blocks/1/norm1/scale"] == -0.5
    assert found["blocks/0/norm1/scale"] == -0.25
    assert found["pos_embed"] == found["patch_embed/kernel"] == -0.125
    said = "Parameters by their factor of the learning rate: 4 with 0.125, 16 with 0.25, 18 with"
    assert said in caplog.text


def test_the_state_is_that_of_one_group():
    states = [
        toy_settings(**{"opt.opt_type": "AdamW", "opt.groups": groups}).initial_state(
            ToyModel(), (2, 2, 1)
        )
        for groups in ((), GROUPS)
    ]
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"opt.groups": (("Dense_9/*", 1.0),)},
            r"^opt\.groups has the pattern 'Dense_9/\*', which",
        ),
        (
            {"opt.groups": (("Dense_1/*",),)},
            r"^opt\.groups holds \('Dense_1/\*',\); each of its e",
        ),
        ({"opt.groups": (("*", -1.0),)}, r"^opt\.groups holds \('\*', -1\.0\); each"),
        ({"opt.groups": (("*", 1.0, 0.1),)}, r"^opt\.groups sets a weight decay, but Momentum has"),
        ({"opt.layer_decay": 0.0}, r"^opt\.layer_decay is 0\.0; it must be above 0 and at most 1"),
        ({"opt.layer_decay": 0.5}, r"^opt\.layer_decay does not know which layer Dense_1/bias is "),
    ],
)
def test_bad_input_is_one_sentence(fields, message):
    with pytest.raises(UserError, match=message):
        updates(**fields)
