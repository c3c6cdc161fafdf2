"""What weight decay spares, in the L2 term and in AdamW, is the same."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from gnp.model import create_model
from gnp.model.weights import variable_shapes
from gnp.optimizer.build import set_learning_rate
from gnp.optimizer.weight_decay import decayed
from gnp.training import parallel
from gnp.training.checkpoints.manager import Checkpoints
from gnp.training.loss import l2_penalty
from gnp.training.position import Position
from tests.training.toy import ToyModel, toy_settings

# One of each family.
MODELS = (
    "VGG16BN",
    "ResNet18",
    "WideResNet_10_1",
    "PyramidNet_164_48",
    "WideResNet_2_96_ShakeShake",
)
MODELS += ("ViT_Micro", "Swin_Tiny", "CaiT_XXS12")


def vit_state(**fields):
    settings = toy_settings(**fields)
    return settings, settings.initial_state(create_model("ViT_Micro", 10), (8, 8, 1))


@pytest.mark.parametrize("name", MODELS)
def test_only_kernels_of_our_models_are_decayed(name):
    params = variable_shapes(create_model(name, 10), (32, 32, 3))["params"]
    flat = traverse_util.flatten_dict(decayed(params))
    assert {path[-1] for path, is_decayed in flat.items() if is_decayed} == {"kernel"}
    assert {path[-1] for path, is_decayed in flat.items() if not is_decayed} >= {"bias"}
    assert not any(path[-1] == "kernel" for path, is_decayed in flat.items() if not is_decayed)


@pytest.mark.parametrize("name", ["cls", "pos_embedding"])
def test_names_of_other_flax_models_are_known(name):
    assert decayed({"w": jnp.ones((2, 2)), name: jnp.ones((1, 4, 2))}) == {"w": True, name: False}


@pytest.mark.parametrize("opt_type", ["Adam", "AdamW"])
@pytest.mark.parametrize("spares", [True, False])
def test_adamw_and_the_l2_term_spare_the_same(opt_type, spares):
    fields = {"opt.opt_type": opt_type, "no_weight_decay_on_bn": spares}
    settings, state = vit_state(**fields)
    params = jax.tree.map(jnp.ones_like, state.params)
    zeros = jax.tree.map(jnp.zeros_like, params)
    optimizer = settings.optimizer.transformation
    updates, _ = optimizer.update(zeros, set_learning_rate(state.opt_state, 1.0), params)
    shrunk = jax.tree.map(lambda new: bool((new < 1).all()), optax.apply_updates(params, updates))
    slope = jax.grad(lambda p: l2_penalty(p, kernels_only=settings.loss.l2_on_kernels_only))(params)
    assert shrunk == jax.tree.map(lambda leaf: bool(leaf.all()), slope)
    assert shrunk == (decayed(params) if spares else jax.tree.map(lambda _: True, params))


def test_what_is_decayed_is_decayed_as_by_optax():
    updated = []
    for spares in (False, True):
        settings, state = vit_state(
            **{
                "opt.opt_type": "AdamW",
                "opt.opt_params": {"b1": 0.8},
                "no_weight_decay_on_bn": spares,
            }
        )
        gradient = jax.tree.map(jnp.cos, state.params)
        optimizer, opt_state = settings.optimizer.transformation, state.opt_state
        for _ in range(2):
            opt_state = set_learning_rate(opt_state, 0.1)
            updates, opt_state = optimizer.update(gradient, opt_state, state.params)
        updated.append(updates)
    for by_optax, ours, is_decayed in zip(
        *map(jax.tree.leaves, (*updated, decayed(state.params))), strict=True
    ):
        assert np.array_equal(by_optax, ours) or not is_decayed


def test_the_counts_are_in_the_log(caplog):
    caplog.set_level(logging.INFO, logger="gnp")
    _, state = vit_state(no_weight_decay_on_bn=True)
    (line,) = [r.getMessage() for r in caplog.records if "weight decay takes" in r.getMessage()]
    kernels = [leaf for leaf in jax.tree.leaves(state.params) if leaf.ndim > 1]
    assert f"of {len(jax.tree.leaves(state.params))} parameters" in line
    assert int(line.split("takes ")[1].split(" of")[0]) < len(kernels)
    caplog.clear()
    vit_state()
    assert "weight decay takes" not in caplog.text


def test_checkpoints_of_adamw_fit_with_and_without_the_switch(tmp_path):
    states = []
    for spares in (False, True):
        settings = toy_settings(**{"opt.opt_type": "AdamW", "no_weight_decay_on_bn": spares})
        state = settings.initial_state(ToyModel(), (2, 2, 1))
        states.append(parallel.replicate(state))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(states[0], Position(step=1))
        checkpoints.wait()
        restored, _ = checkpoints.restore_latest(states[1])
    jax.tree.map(np.testing.assert_array_equal, restored.params, states[0].params)
