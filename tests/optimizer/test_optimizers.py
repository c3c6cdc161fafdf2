"""Optimizers by name: against optax, with freezing and groups; and those of one's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from gnp.errors import UserError
from gnp.main.fields.effect_rules import TRAINING_RULES
from gnp.model import create_model
from gnp.optimizer import optimizers
from gnp.optimizer.build import build_optimizer, set_learning_rate
from gnp.optimizer.muon import matrices
from gnp.optimizer.optimizers import optimizer_names, register_optimizer
from gnp.training.checkpoints.saved_variables import read_newest_variables
from gnp.training.settings.run import read_settings
from tests.training.toy import ToyModel, toy_config, toy_settings, train_toy

RATE = 0.01
NEW = ["NAdamW", "LAMB", "Lion", "Muon", "Prodigy"]
PARAMS = {
    "Conv_0": {"kernel": jnp.full((3, 3, 2, 4), 0.5), "bias": jnp.full(4, 0.5)},
    "Dense_0": {"kernel": jnp.full((6, 4), 0.5), "bias": jnp.full(4, 0.5)},
}
# What each is in optax.
OPTAX = {
    "SGD": optax.sgd(RATE),
    "Momentum": optax.sgd(RATE, 0.9, nesterov=True),
    "RMSProp": optax.rmsprop(RATE),
    "Adam": optax.adamw(RATE, weight_decay=0.3),
    "AdamW": optax.adamw(RATE, weight_decay=0.3),
    "NAdamW": optax.nadamw(RATE),
    "LAMB": optax.lamb(RATE),
    "Lion": optax.lion(RATE),
    "Muon": optax.contrib.muon(RATE, consistent_rms=0.2, muon_weight_dimension_numbers=matrices),
    "Prodigy": optax.contrib.prodigy(RATE, safeguard_warmup=True),
}


@pytest.fixture(autouse=True)
def _own_table(monkeypatch):
    monkeypatch.setattr(optimizers, "_OPTIMIZERS", dict(optimizers._OPTIMIZERS))


def three_steps(optimizer, with_rate=lambda state: state, params=PARAMS):
    """The parameters after three steps with gradients that change."""
    state = with_rate(optimizer.init(params))
    for step in range(3):
        gradient = jax.tree.map(
            lambda p, step=step: jnp.cos(step + jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape),
            params,
        )
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def trained(name, params=PARAMS, **arguments):
    optimizer = build_optimizer(name, **({"opt_params": {}} | arguments))
    return three_steps(optimizer, lambda state: set_learning_rate(state, RATE), params)


@pytest.mark.parametrize("name", optimizer_names())
def test_it_is_that_of_optax(name):
    close = functools.partial(np.testing.assert_allclose, rtol=2e-5)
    jax.tree.map(close, trained(name), three_steps(OPTAX[name]))


def test_all_of_them_are_compared():
    assert optimizer_names() == sorted(OPTAX)


def test_a_convolution_is_a_matrix_to_muon():
    """Its kernel moves as that of the dense layer with the same numbers."""
    kernel = PARAMS["Conv_0"]["kernel"]
    conv = trained("Muon", {"Conv_0": {"kernel": kernel}})["Conv_0"]["kernel"]
    dense = trained("Muon", {"Dense_0": {"kernel": kernel.reshape(18, 4)}})["Dense_0"]["kernel"]
    np.testing.assert_allclose(conv.reshape(18, 4), dense, rtol=1e-5)


def test_the_matrices_of_attention():
    model = create_model("ViT_Micro", 10)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
    )
    found = traverse_util.flatten_dict(matrices(shapes["params"]), sep="/")
    attention = next(p for p in found if p.endswith("query/kernel")).removesuffix("query/kernel")
    assert found[f"{attention}query/kernel"] == ((0,), (1, 2))
    assert found[f"{attention}out/kernel"] == ((0, 1), (2,))
    assert found["patch_embed/kernel"] == ((0, 1, 2), (3,))
    assert found["head/kernel"] == ((0,), (1,))
    assert found["pos_embed"] is found["head/bias"] is found[f"{attention}query/bias"] is None


def test_a_first_step_of_rate_0_leaves_prodigy_finite():
    optimizer = build_optimizer("Prodigy", {})
    state = set_learning_rate(optimizer.init(PARAMS), 0.0)
    for rate in (0.0, 1.0, 1.0):
        updates, state = optimizer.update(PARAMS, set_learning_rate(state, rate), PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((updates, state)))


@pytest.mark.parametrize("name", NEW)
def test_weight_decay_spares_what_it_says(name):
    """Against no decay at all: biases move alike, kernels do not."""
    opt_params = {"weight_decay": 0.5}
    if name == "Prodigy":
        with pytest.raises(UserError, match="the weight decay of Prodigy is one for all; set opt"):
            toy_settings(**{"opt.opt_type": name, "opt.opt_params": opt_params}, **SPARED)
        return
    settings = toy_settings(**{"opt.opt_type": name, "opt.opt_params": opt_params}, **SPARED)
    spared = trained(name, opt_params=opt_params, decays=settings.optimizer.groups.decays)
    none = trained(name, opt_params={"weight_decay": 0.0})
    for layer in PARAMS:
        np.testing.assert_array_equal(spared[layer]["bias"], none[layer]["bias"])
        assert np.abs(spared[layer]["kernel"] - none[layer]["kernel"]).max() > 1e-3


SPARED = {"no_weight_decay_on_bn": True}
TOY = (ToyModel(), (2, 2, 1))
GROUPS = {"opt.groups": (("Dense_1/*", 0.0),)}


@pytest.mark.parametrize("name", NEW)
def test_rates_by_pattern_and_frozen_parameters(tmp_path, name):
    """A factor of 0 and freezing both leave a layer as it was; and a resumed run ends alike."""
    fields = {"opt.opt_type": name, "base_lr": 0.01, "opt.freeze": ("Dense_0/*",)}
    if name == "Prodigy":
        with pytest.raises(UserError, match=r"^Prodigy estimates one step size for all parameters"):
            toy_settings(**fields, **GROUPS)
    else:
        fields |= GROUPS
    before = toy_settings(**fields).initial_state(*TOY)
    train_toy(tmp_path / "whole", **fields)
    train_toy(tmp_path / "parts", **fields)
    newest = max((tmp_path / "parts" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    newest.rename(tmp_path / "away")
    train_toy(tmp_path / "parts", **fields)
    whole, parts = (read_newest_variables(tmp_path / name) for name in ("whole", "parts"))
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    kept = ("Dense_0",) if name == "Prodigy" else ("Dense_0", "Dense_1")
    for layer, values in whole["params"].items():
        is_same = all(
            np.array_equal(values[leaf], before.all_params[layer][leaf]) for leaf in values
        )
        assert is_same == (layer in kept), layer


def test_muon_does_not_take_stacked_layers():
    fields = {"opt.opt_type": "Muon", "model.model_params.scan_layers": True}
    with pytest.raises(UserError, match=r"^Muon makes the update of each matrix orthogonal"):
        read_settings(toy_config(**fields), num_devices=1)


def test_the_effect_of_sparing_follows_the_optimizer():
    (rule,) = [rule for rule in TRAINING_RULES if rule.fields == "no_weight_decay_on_bn"]
    for name, expected in (("Lion", True), ("LAMB", False), ("Momentum", False)):
        config = toy_config(**{"opt.opt_type": name, "l2_regularization": 0.0})
        assert rule.has_effect(config) == expected


# Optimizers of one's own.


def sign_sgd(learning_rate, weight_decay=0.0, *, decays=None):
    return optax.chain(
        optax.scale_by_sign(),
        optimizers.weight_decays(weight_decay, decays),
        optax.scale_by_learning_rate(learning_rate),
    )


def test_an_optimizer_of_ones_own_takes_the_rate_and_the_decays():
    register_optimizer("SignSGD")(sign_sgd)
    assert "SignSGD" in optimizer_names()
    found = trained(
        "SignSGD",
        opt_params={"weight_decay": 0.1},
        decays=lambda params, own: jax.tree.map(lambda p: own if p.ndim > 1 else 0.0, params),
        rates=lambda params: jax.tree.map(lambda p: 2.0 if p.ndim > 1 else 1.0, params),
    )
    bias = PARAMS["Dense_0"]["bias"]
    steps = sum(jnp.sign(jnp.cos(step + jnp.arange(4.0))) for step in range(3))
    np.testing.assert_allclose(found["Dense_0"]["bias"], bias - RATE * steps, rtol=1e-5)
    plain = trained("SignSGD")["Dense_0"]["kernel"] - 0.5
    assert np.abs(found["Dense_0"]["kernel"] - 0.5 - 2 * plain).max() > 1e-4


def test_arguments_may_be_texts_where_no_number_is_the_default():
    @register_optimizer("Texts")
    def texts(learning_rate, kind, mode="plain", **more):
        assert (kind, mode, more) == ("a", "b", {"other": (1, 2)})
        return optax.sgd(learning_rate)

    build_optimizer("Texts", {"kind": "a", "mode": "b", "other": (1, 2)})


def three(learning_rate):
    return 3


def without_rate(step_size):
    return optax.sgd(step_size)


def needs_more(learning_rate, beta):
    return optax.sgd(learning_rate, beta)


def fails(learning_rate):
    raise KeyError("not here")


@pytest.mark.parametrize(
    ("function", "opt_params", "sentence"),
    [
        (three, {}, r"^The optimizer Own returns 3; it must return an optax\.GradientTransform"),
        (without_rate, {}, "^The optimizer Own takes no learning_rate; it must be a function of"),
        (needs_more, {}, r"^The optimizer Own cannot be made \(TypeError: .*'beta'\); change"),
        (fails, {}, r"^The optimizer Own cannot be made \(KeyError: 'not here'\); change"),
        (
            sign_sgd,
            {"decay": 1},
            r"^Unknown parameter of Own \(opt\.opt_params\) 'decay'; known: w",
        ),
        (sign_sgd, {"weight_decay": "a"}, r"^opt\.opt_params\.weight_decay of Own must be a numb"),
        (sign_sgd, {"decays": 1}, r"^Unknown parameter of Own \(opt\.opt_params\) 'decays'"),
    ],
)
def test_one_that_cannot_be_used_is_one_sentence(function, opt_params, sentence):
    register_optimizer("Own")(function)
    with pytest.raises(UserError, match=sentence):
        build_optimizer("Own", opt_params)


@pytest.mark.parametrize("name", ["ScheduleFree", "schedule_free_adamw"])
def test_schedule_free_ones_are_refused_with_the_reason(name):
    with pytest.raises(UserError, match=f"^The optimizer {name} is schedule-free: it is to be"):
        build_optimizer(name, {})


def test_a_name_that_is_there_is_refused():
    with pytest.raises(
        UserError, match=r"^The optimizer 'AdamW' is registered already; choose ano"
    ):
        register_optimizer("AdamW")(sign_sgd)


def test_a_decorator_without_a_name_is_refused():
    with pytest.raises(
        UserError, match=r"^The name that register_optimizer got is .*@register_opt"
    ):
        register_optimizer(sign_sgd)
    with pytest.raises(UserError, match=r"^What is registered as optimizer 'Three' is 3; it must"):
        register_optimizer("Three")(3)
