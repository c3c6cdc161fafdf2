"""The penalties of `config.regularization` in a training step."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.model import create_model
from gnp.regularization import tree
from gnp.runs.metrics import read_metrics
from gnp.training.objective import STREAMS, Objective
from gnp.training.settings.run import read_settings
from gnp.training.step_programs import StepPrograms
from tests.training.toy import ToyModel, ToySource, split, toy_settings, train_toy

STEPS_PER_EPOCH = 4
BATCH = next(ToySource().train_batches(0))
PREFIX = "regularization."

L1 = {"weight.l1.strengths": (("*kernel", 1e-2),)}
LASSO = {"weight.group_lasso.strengths": (("*kernel", 1e-2, "columns"),)}
INPUT = {"input_gradient.strength": 0.1}
ADVERSARIAL = INPUT | {"input_gradient.form": "adversarial"}
ACTIVATION = {"activation_gradient.strength": 0.1, "activation_gradient.activations": ("Dense_*",)}
PARAMETER = {"parameter_gradient.strength": 0.05}
EVERYTHING = L1 | LASSO | INPUT | ACTIVATION | PARAMETER


def settings_of(regularization=None, **overrides):
    prefixed = {PREFIX + name: value for name, value in (regularization or {}).items()}
    return toy_settings(**prefixed, **overrides)


def start(settings, model=None):
    """The state before the first step, and the programs and blocks of the steps."""
    model = model or ToyModel(use_batch_norm=False)
    programs = StepPrograms(settings, model, STEPS_PER_EPOCH, lambda data, batch: batch)
    state = settings.initial_state(model, (2, 2, 1))
    schedule = settings.step_schedule(STEPS_PER_EPOCH)
    blocks = [
        block
        for epoch in range(3)
        for block in schedule.blocks(state.key, epoch * STEPS_PER_EPOCH, epoch)
    ]
    return state, programs, blocks


def train(settings, steps=4, devices=1, model=None):
    """All states from the first on, and the metrics of the last step."""
    state, programs, blocks = start(settings, model)
    states, metrics = [jax.device_get(state)], {}
    for block in blocks[:steps]:
        epoch, index = divmod(block.first, STEPS_PER_EPOCH)
        batch = list(ToySource().train_batches(epoch))[index]
        state, metrics = programs.take(block, state, None, split(batch, devices))
        states.append(jax.device_get(state))
    return states, jax.device_get(metrics)


def lowered(settings):
    state, programs, blocks = start(settings)
    batch = next(ToySource().train_batches(0))
    return programs.program(blocks[0]).lower(state, None, split(batch, 4)).as_text()


def test_without_a_strength_the_program_is_that_of_standard_training():
    nothing = {
        "weight.l1.first_epoch": 3,
        "weight.group_lasso.weighted_by_size": False,
        "input_gradient.form": "adversarial",
        "activation_gradient.activations": ("Dense_*",),
    }
    standard = lowered(settings_of(**{"gnp.r": 0.0}))
    assert lowered(settings_of(nothing, **{"gnp.r": 0.0})) == standard
    for penalty in (L1, LASSO, INPUT, ACTIVATION, PARAMETER):
        assert lowered(settings_of(penalty, **{"gnp.r": 0.0})) != standard


class Deep(nn.Module):
    """Deep and wide enough that its products are all that counts."""

    num_outputs: int = 3

    @nn.compact
    def __call__(self, inputs, train):
        x = inputs.reshape(len(inputs), -1)
        for _ in range(5):
            x = nn.relu(nn.Dense(256)(x))
        return nn.Dense(self.num_outputs)(x)


def flops_and_passes(settings):
    state, programs, blocks = start(settings, Deep())
    batch = jax.tree.map(lambda x: np.repeat(x, 32, axis=0)[None], BATCH)
    program = programs.program(blocks[0]).lower(state, None, batch).compile()
    return program.cost_analysis()["flops"], programs.passes(blocks[0])


@pytest.mark.parametrize(
    ("penalty", "passes"),
    [
        (L1, 1),
        (INPUT, 2),
        (ACTIVATION | {"activation_gradient.activations": ("Dense_0",)}, 2),
        (PARAMETER, 3),
        (INPUT | ACTIVATION | PARAMETER, 3),
    ],
    ids=str,
)
def test_cost_in_passes(penalty, passes):
    standard, _ = flops_and_passes(settings_of(**{"gnp.r": 0.0}))
    flops, counted = flops_and_passes(settings_of(penalty, **{"gnp.r": 0.0}))
    assert counted == passes
    assert flops / standard == pytest.approx(passes, rel=0.05)


@pytest.mark.parametrize("r", [0.0, 0.1], ids=["standard", "two_pass"])
@pytest.mark.parametrize(
    ("penalty", "names"),
    [
        (L1, ["weight"]),
        (LASSO, ["weight"]),
        (INPUT, ["input_gradient"]),
        (ADVERSARIAL, ["input_gradient"]),
        (ACTIVATION, ["activation_gradient"]),
        (PARAMETER, ["parameter_gradient"]),
        (EVERYTHING, ["weight", "input_gradient", "activation_gradient", "parameter_gradient"]),
    ],
    ids=["l1", "lasso", "input", "adversarial", "activation", "parameter", "everything"],
)
def test_each_penalty_has_one_line_in_the_metrics_and_trains(penalty, names, r):
    settings = settings_of(penalty, **{"gnp.r": r})
    states, metrics = train(settings, steps=2)
    found = {name: value for name, value in metrics.items() if name.startswith("penalty_")}
    assert sorted(found) == sorted(f"penalty_{name}" for name in names)
    assert all(value > 0 for value in found.values())
    plain, _ = train(settings_of(**{"gnp.r": r}), steps=2)
    assert tree.global_norm(tree.add(states[-1].params, plain[-1].params, -1)) > 1e-5


def objective_of(settings, model):
    return settings.loss.objective(model, STEPS_PER_EPOCH)


RNGS = {name: jax.random.PRNGKey(0) for name in STREAMS}


@pytest.mark.parametrize("penalty", [INPUT, ADVERSARIAL, ACTIVATION, PARAMETER, EVERYTHING])
def test_all_but_the_gradient_is_as_without_penalty(penalty):
    """Statistics, loss and error are those of the clean pass."""
    model = ToyModel(dropout_rate=0.5)
    variables = model.init(jax.random.PRNGKey(0), BATCH["image"], train=False)
    results = [
        objective_of(settings, model)(variables["params"], variables["batch_stats"], BATCH, RNGS)
        for settings in (settings_of(), settings_of(penalty))
    ]
    (plain, plain_aux), (penalized, aux) = results
    assert penalized != plain
    del aux["penalties"], plain_aux["penalties"]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), aux, plain_aux)


def test_parameter_penalty_takes_the_whole_loss():
    """L with its L2 term and its weight penalties."""
    settings = settings_of(PARAMETER | L1, l2_regularization=0.1)
    model = ToyModel(use_batch_norm=False)
    params = model.init(jax.random.PRNGKey(0), BATCH["image"], train=False)["params"]

    def value(settings):
        objective = objective_of(settings, model)
        return lambda params: objective(params, {}, BATCH, RNGS)[0]

    gradient = jax.grad(value(settings_of(L1, l2_regularization=0.1)))(params)
    difference = value(settings)(params) - value(settings_of(L1, l2_regularization=0.1))(params)
    np.testing.assert_allclose(difference, 0.05 / 4 * tree.global_norm(gradient) ** 2, rtol=1e-4)


@pytest.mark.parametrize("r", [0.0, 0.1])
@pytest.mark.parametrize("penalty", [INPUT, ADVERSARIAL, ACTIVATION, PARAMETER, EVERYTHING])
def test_no_penalty_depends_on_the_number_of_devices(penalty, r):
    settings = settings_of(penalty, **{"gnp.r": r, "gnp.sync_perturbations": True})
    one, four = (train(settings, steps=3, devices=devices)[0][-1] for devices in (1, 4))
    compare = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6)
    jax.tree.map(compare, one.params, four.params)


def test_shake_models_take_the_true_gradient_inside_of_a_penalty():
    """Its square of the gradient is that of the loss that was computed."""
    model = create_model("WideResNet_2_96_ShakeShake", 3, width=2, blocks_per_group=1)
    images = jax.random.normal(jax.random.PRNGKey(0), (4, 8, 8, 1))
    batch = {"image": images, "label": jnp.eye(3)[jnp.array([0, 1, 2, 0])]}
    variables = model.init(jax.random.PRNGKey(0), images, train=False)
    params, statistics = variables["params"], variables["batch_stats"]

    @jax.jit
    def penalty(params):
        aux = objective_of(settings_of(PARAMETER), model)(params, statistics, batch, RNGS)[1]
        return aux["penalties"]["parameter_gradient"]

    @jax.jit
    @jax.grad
    def true_gradient(params):
        return Objective(model)(params, statistics, batch, RNGS, true_gradient=True)[0]

    true = true_gradient(params)
    np.testing.assert_allclose(penalty(params), 0.05 / 4 * tree.global_norm(true) ** 2, rtol=1e-4)


def test_strengths_follow_their_epochs():
    settings = settings_of(L1 | {"weight.l1.first_epoch": 1, "weight.l1.last_epoch": 2})
    values = [train(settings, steps=steps)[1]["penalty_weight"] for steps in (4, 5, 9)]
    assert [value > 0 for value in values] == [False, True, False]


THRESHOLD = {
    "weight.threshold.limits": (("Dense_0/kernel", 0.4, "elements"),),
    "weight.threshold.last_epoch": 1,
    "weight.threshold.release_epoch": 2,
}


@pytest.mark.parametrize(
    "overrides",
    [
        {"gnp.r": 0.0},
        {"gnp.r": 0.5, "gnp.alpha": 1.0},
        {"gnp.r": 0.5, "gnp.ascent": "random"},
        {"gnp.r": 0.5, "opt.opt_type": "Adam"},
    ],
    ids=str,
)
def test_zeros_are_kept_exactly_until_they_are_released(overrides):
    states, _ = train(settings_of(THRESHOLD, **overrides), steps=12)
    kernels = [state.params["Dense_0"]["kernel"] for state in states]
    assert all(np.count_nonzero(kernel == 0) == 0 for kernel in kernels[:4])
    zeros = kernels[4] == 0
    assert 0 < zeros.sum() < zeros.size
    assert np.abs(kernels[4][~zeros]).min() > 0.4
    for kernel in kernels[4:9]:
        np.testing.assert_array_equal(kernel == 0, zeros)
    assert np.count_nonzero(kernels[9] == 0) == 0


def test_averaged_parameters_have_the_zeros_too():
    states, _ = train(settings_of(THRESHOLD, ema_decay=0.9), steps=7)
    for state in states[4:]:
        kernel, average = (p["Dense_0"]["kernel"] for p in (state.params, state.ema["params"]))
        np.testing.assert_array_equal(average == 0, kernel == 0)
        assert (kernel == 0).any()


def test_perturbed_passes_see_the_zeros_too():
    """A random perturbation of held weights changes nothing."""
    settings = settings_of(
        {"weight.threshold.limits": (("*", 1e9, "layers"),)},
        **{"gnp.r": 5.0, "gnp.alpha": 1.0, "gnp.ascent": "random"},
    )
    states, metrics = train(settings, steps=6)
    assert all(not leaf.any() for leaf in jax.tree.leaves(states[-1].params))
    assert metrics["perturbed_loss"] == metrics["loss"] == pytest.approx(np.log(3))


def test_sparsity_is_told_for_all_that_may_become_sparse():
    settings = settings_of(THRESHOLD | LASSO)
    figures = settings.loss.sparsity
    states, _ = train(settings, steps=4)
    kernel = states[-1].params["Dense_0"]["kernel"]
    found = figures(states[-1].params)
    assert sorted(found) == [
        "sparsity/Dense_0/kernel",
        "sparsity/Dense_0/kernel/columns",
        "sparsity/Dense_1/kernel",
        "sparsity/Dense_1/kernel/columns",
        "sparsity/all",
    ]
    assert found["sparsity/Dense_0/kernel"] == pytest.approx(np.mean(kernel == 0))
    assert settings_of(INPUT).loss.sparsity(states[-1].params) == {}


def test_a_run_tells_its_sparsity_at_each_evaluation_and_at_its_end(tmp_path):
    train_toy(tmp_path, **{PREFIX + name: value for name, value in THRESHOLD.items()})
    lines = [m for m in read_metrics(tmp_path / "metrics.jsonl") if "eval/loss" in m]
    assert [line["sparsity/Dense_0/kernel"] > 0 for line in lines] == [True, True, False]
    assert [line["sparsity/all"] for line in lines] == [
        line["sparsity/Dense_0/kernel"] for line in lines
    ]
    assert re.search(r"\| Dense_0/kernel \| 0\.0 +\|", (tmp_path / "sparsity.md").read_text())
    assert (tmp_path / "sparsity.png").exists()


def check(*overrides):
    read_settings(load_config("config/digits.py", overrides), num_devices=1)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["input_gradient.form=norms"], "'norms'; known: norm,"),
        (["input_gradient.strength=-1"], "input_gradient.strength is -1.0; it must be at least 0"),
        (["activation_gradient.strength=1"], "no patterns of activations"),
        (["weight.l1.strengths=[('*',)]"], r"entries is ('PATTERN', NUMBER), the number 0"),
        (["weight.l1.strengths=['*']"], r"l1.strengths holds '*'; each"),
        (["weight.l1.strengths=[('*', -1)]"], r"holds ('*', -1); each of its entries is"),
        (["weight.group_lasso.strengths=[('*', 1)]"], "('PATTERN', NUMBER, 'GROUPS')"),
        (["weight.group_lasso.strengths=[('*', 1, 'filter')]"], "'filter'; known: filters,"),
        (
            ["weight.l2.first_epoch=2", "weight.l2.strengths=[('*', 1)]", "weight.l2.last_epoch=2"],
            "l2 has first_epoch 2, last_epoch 2",
        ),
        (
            ["weight.threshold.limits=[('*', 1, 'layers')]", "weight.threshold.release_epoch=1"],
            "release_epoch is 1, but the first zeros come with the end of epoch 0; choose 2",
        ),
        (
            ["weight.group_lasso.strengths=[('*', 1, 'blocks')]", "weight.block_shape=[4, 0]"],
            "block_shape is (4, 0); it must be two whole numbers above 0.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(overrides, sentence):
    with pytest.raises(UserError) as error:
        check(*(PREFIX + override for override in overrides))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_two_exact_penalties_of_one_gradient_norm_are_refused():
    check("gnp.mode=exact", "regularization.input_gradient.strength=0.1")
    with pytest.raises(UserError, match="switch one of them off, or set"):
        check("gnp.mode=exact", "regularization.parameter_gradient.strength=0.1")


def test_groups_of_scanned_layers_are_refused():
    scanned = ("model.model_name=ViT_Micro", "model.model_params.scan_layers=True")
    check(*scanned, "regularization.weight.l1.strengths=[('*', 1)]")
    with pytest.raises(UserError, match="which scan_layers stacks; switch one of them off"):
        check(*scanned, "regularization.weight.group_lasso.strengths=[('*', 1, 'layers')]")


def test_a_threshold_needs_limits():
    assert settings_of().loss.threshold(STEPS_PER_EPOCH) is None
    assert settings_of(THRESHOLD).loss.threshold(STEPS_PER_EPOCH).release_epoch == 2
