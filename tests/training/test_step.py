"""One training step: groups, accumulation, batch statistics, LookSAM, guards, cost."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.optimizer.build import build_optimizer
from gnp.regularization import tree
from gnp.regularization.ascent import STEEPEST, ascent
from gnp.regularization.look_sam import look_sam
from gnp.regularization.passes import PenaltyForm
from gnp.regularization.warmup import penalty_warmup
from gnp.training import parallel
from gnp.training.gradient import Penalty
from gnp.training.objective import Objective
from gnp.training.perturbation_groups import PerturbationGroups, plan_groups
from gnp.training.state import create_state
from gnp.training.step import make_train_step
from tests.training.toy import ToyModel, split

BATCH = 16
RATE = 0.1


def penalty(r=0.5, alpha=0.8, bn_policy="clean", reuse=0, **form):
    schedules = penalty_warmup("none", r=r, alpha=alpha, warmup_steps=0)
    direction = ascent(form.pop("ascent", "gradient"))
    direction = look_sam(direction, reuse) if reuse else direction
    return Penalty(*schedules, form=PenaltyForm(ascent=direction, **form), bn_policy=bn_policy)


def batch_of(seed):
    rng = np.random.default_rng(seed)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, BATCH)]
    return {"image": rng.normal(size=(BATCH, 2, 2, 1)).astype(np.float32), "label": labels}


def build(model=None, optimizer="SGD", penalty=None, **step_options):
    """A fresh state and a step of a toy model, by default without batch norm."""
    model = model or ToyModel(use_batch_norm=False)
    optimizer = build_optimizer(optimizer, {})
    step = make_train_step(
        Objective(model, l2=1e-3), optimizer, lambda _: RATE, penalty=penalty, **step_options
    )
    state = create_state(
        model,
        optimizer,
        image_shape=(2, 2, 1),
        init_seed=0,
        seed=0,
        ascent=penalty.form.ascent if penalty else STEEPEST,
    )
    return state, parallel.map_train_step(step)


def run(*, devices=1, steps=3, **options):
    state, step = build(**options)
    for seed in range(steps):
        state, metrics = step(state, None, split(batch_of(seed), devices))
    return state, metrics


def assert_trees_close(a, b, rtol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=1e-7), a, b)


@pytest.mark.parametrize("m", [0, 2, 4, 8, 16])
def test_m_sharpness_does_not_depend_on_the_number_of_devices(m):
    results = []
    for devices in (1, 2, 4):
        groups = plan_groups(batch_size=BATCH, num_devices=devices, perturbation_batch=m)
        results.append(run(devices=devices, penalty=penalty(), groups=groups)[0].params)
    assert_trees_close(results[0], results[1])
    assert_trees_close(results[0], results[2])


ONE_PASS = {"ascent": "momentum", "alpha": 1.0}


@pytest.mark.parametrize(
    "form",
    [{"surrogate_gap": 0.5}, {"ascent": "random"}, {"ascent": "friendly"}, ONE_PASS],
    ids=str,
)
@pytest.mark.parametrize("m", [0, 4, 8])
def test_no_form_depends_on_the_number_of_devices(form, m):
    results = []
    for devices in (1, 2, 4):
        groups = plan_groups(batch_size=BATCH, num_devices=devices, perturbation_batch=m)
        results.append(run(devices=devices, penalty=penalty(**form), groups=groups)[0].params)
    assert_trees_close(results[0], results[1])
    assert_trees_close(results[0], results[2])


def test_m_matters():
    small, large = (
        run(penalty=penalty(), groups=PerturbationGroups(per_device=count))[0].params
        for count in (8, 1)
    )
    assert tree.global_norm(tree.add(small, large, -1)) > 1e-4


def test_dropout_does_not_depend_on_the_number_of_devices():
    model = ToyModel(use_batch_norm=False, dropout_rate=0.5)
    results = [
        run(
            model=model,
            devices=devices,
            penalty=penalty(),
            groups=plan_groups(batch_size=BATCH, num_devices=devices, perturbation_batch=4),
        )[0].params
        for devices in (1, 4)
    ]
    assert_trees_close(*results)


def test_accumulation_equals_a_large_batch_whose_microbatches_share_perturbations():
    accumulated = plan_groups(batch_size=BATCH, num_devices=2, accumulation_steps=4)
    one_batch = plan_groups(batch_size=BATCH, num_devices=1, perturbation_batch=2)
    assert_trees_close(
        run(devices=2, penalty=penalty(), groups=accumulated)[0].params,
        run(devices=1, penalty=penalty(), groups=one_batch)[0].params,
    )


def test_accumulation_of_standard_training_equals_one_large_batch():
    assert_trees_close(run(groups=PerturbationGroups(per_device=4))[0].params, run()[0].params)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ({"num_devices": 4}, PerturbationGroups(1, 1)),
        ({"num_devices": 4, "perturbation_batch": 0}, PerturbationGroups(1, 4)),
        ({"num_devices": 4, "perturbation_batch": 8}, PerturbationGroups(1, 2)),
        ({"num_devices": 2, "perturbation_batch": 2}, PerturbationGroups(4, 1)),
        ({"num_devices": 2, "accumulation_steps": 2}, PerturbationGroups(2, 1)),
        (
            {"num_devices": 2, "accumulation_steps": 2, "perturbation_batch": 2},
            PerturbationGroups(4, 1),
        ),
        (
            {"num_devices": 2, "accumulation_steps": 2, "perturbation_batch": 0},
            PerturbationGroups(2, 2),
        ),
    ],
)
def test_plan_of_groups(sizes, groups):
    assert plan_groups(batch_size=BATCH, **sizes) == groups


@pytest.mark.parametrize("m", [3, 12, 32])
def test_perturbation_batch_that_does_not_divide_is_refused(m):
    with pytest.raises(UserError, match=f"perturbation_batch {m} fits neither"):
        plan_groups(batch_size=BATCH, num_devices=4, perturbation_batch=m)


def test_accumulation_that_does_not_divide_is_refused():
    with pytest.raises(
        UserError, match=r"over 2 devices in gradient_accumulation_steps = 3 parts; .*: 12 or 18"
    ):
        plan_groups(batch_size=BATCH, num_devices=2, accumulation_steps=3)


def test_batch_statistics_come_from_the_pass_that_the_policy_names():
    model = ToyModel()
    state, _ = build(model=model)
    batch = {k: jnp.asarray(v) for k, v in batch_of(0).items()}
    objective = Objective(model, l2=1e-3)

    def forward(params, stats):
        return objective(params, stats, batch, {})[1]["batch_stats"]

    gradient = jax.grad(lambda p: objective(p, state.batch_stats, batch, {})[0])(state.params)
    perturbed = tree.add(state.params, tree.unit(gradient), 0.5)
    clean = forward(state.params, state.batch_stats)
    expected = {
        "clean": clean,
        "perturbed": forward(perturbed, state.batch_stats),
        "both": forward(perturbed, clean),
    }
    for policy, statistics in expected.items():
        result, _ = run(model=model, steps=1, penalty=penalty(bn_policy=policy))
        assert_trees_close(result.batch_stats, statistics, rtol=1e-5)
    differences = tree.add(expected["clean"], expected["perturbed"], -1)
    assert tree.global_norm(differences) > 1e-4


def test_unknown_batch_norm_policy_is_refused():
    with pytest.raises(UserError, match=r"batch-norm policy .*'freeze'; known: "):
        penalty(bn_policy="freeze")


def test_step_that_is_not_finite_changes_nothing_but_the_counts():
    state, step = build(model=ToyModel(), optimizer="Momentum", penalty=penalty())
    state, _ = step(state, None, split(batch_of(0), 2))
    before = jax.device_get(state)
    bad = batch_of(1)
    bad["image"][3] = np.inf  # on one of the two devices only
    after, metrics = step(state, None, split(bad, 2))
    assert metrics["nonfinite_pass"] == 1
    assert (after.step, after.skipped) == (2, 1)
    for part in ("params", "batch_stats", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, part), getattr(before, part))


def test_clipping_is_of_the_mixed_gradient_and_zero_is_off():
    _, free = run(steps=1, penalty=penalty(), gradient_clipping=0.0)
    _, clipped = run(steps=1, penalty=penalty(), gradient_clipping=0.01)
    np.testing.assert_allclose(free["gradient_norm"], free["gradient_norm_mixed"])
    np.testing.assert_allclose(clipped["gradient_norm"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(clipped["gradient_norm_mixed"], free["gradient_norm_mixed"])


def gradient_by_hand(params, batch, r, alpha):
    objective = Objective(ToyModel(use_batch_norm=False), l2=1e-3)
    grad = jax.grad(lambda p: objective(p, {}, batch, {})[0])
    clean = grad(params)
    perturbed = grad(tree.add(params, tree.unit(clean), r))
    return clean, tree.mix(clean, perturbed, alpha)


def test_look_sam_adds_the_orthogonal_part_of_the_last_penalty():
    """Algorithm 1 of arXiv 2203.02714: g + a·‖g‖/‖g_v‖·g_v between penalized steps."""
    state, penalized = build(penalty=penalty(reuse=0.7))
    _, standard = build(penalty=penalty(reuse=0.7), is_penalized=False)
    start = jax.device_get(state.params)
    state, _ = penalized(state, None, split(batch_of(0), 2))
    kept, middle = jax.device_get((state.ascent_memory, state.params))
    clean, mixed = zip(
        *(gradient_by_hand(start, half, 0.5, 0.8) for half in halves(batch_of(0))), strict=True
    )
    g_v = tree.orthogonal_part(mean(mixed), mean(clean))
    assert_trees_close(kept, g_v, rtol=1e-4)

    state, _ = standard(state, None, split(batch_of(1), 2))
    gradient, _ = gradient_by_hand(middle, batch_of(1), 0.0, 0.0)
    length = 0.7 * tree.global_norm(gradient) / tree.global_norm(g_v)
    expected = tree.add(middle, tree.add(gradient, g_v, length), -RATE)
    assert_trees_close(state.params, expected, rtol=1e-4)
    assert_trees_close(state.ascent_memory, kept)


def test_look_sam_keeps_nothing_while_there_is_no_penalty():
    schedules = penalty_warmup("r", r=0.5, alpha=0.8, warmup_steps=2)
    form = PenaltyForm(ascent=look_sam(STEEPEST, 0.7))
    state, penalized = build(penalty=Penalty(*schedules, form=form))
    state, _ = penalized(state, None, split(batch_of(0), 1))
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.ascent_memory))
    state, _ = penalized(state, None, split(batch_of(1), 1))
    assert tree.global_norm(state.ascent_memory) > 0


def test_one_pass_looks_along_the_mean_gradient_of_all_devices_and_groups():
    state, step = build(penalty=penalty(ascent="stale", alpha=1.0), groups=PerturbationGroups(2))
    batches = [batch_of(seed) for seed in range(2)]
    params = jax.device_get(state.params)
    for batch in batches:
        state, metrics = step(state, None, split(batch, 2))
    first, _ = gradient_by_hand(params, batches[0], 0.0, 0.0)  # the memory is empty
    middle = tree.add(params, first, -RATE)
    there = tree.add(middle, tree.unit(first), 0.5)
    second, _ = gradient_by_hand(there, batches[1], 0.0, 0.0)
    assert_trees_close(state.params, tree.add(middle, second, -RATE), rtol=1e-4)
    assert_trees_close(state.ascent_memory, second, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], metrics["perturbed_loss"])
    assert not {"gradient_norm_clean", "sharpness", "gradient_cosine"} & metrics.keys()


def test_standard_steps_between_are_remembered_too():
    options = {"penalty": penalty(ascent="momentum", alpha=1.0)}
    state, standard = build(**options, is_penalized=False)
    gradient, _ = gradient_by_hand(jax.device_get(state.params), batch_of(0), 0.0, 0.0)
    state, _ = standard(state, None, split(batch_of(0), 1))
    assert_trees_close(state.ascent_memory, tree.scale(gradient, 0.1), rtol=1e-4)


@pytest.mark.parametrize("alpha", [1.0, 0.8])
def test_a_share_of_the_images_leads_to_the_perturbed_parameters(alpha):
    """g1, which the weight 1 − α goes to as well, is that of the first images of a group."""
    state, step = build(penalty=penalty(alpha=alpha, ascent_share=0.25))
    params = jax.device_get(state.params)
    state, metrics = step(state, None, split(batch_of(0), 1))
    part = {name: array[:4] for name, array in batch_of(0).items()}
    first, _ = gradient_by_hand(params, part, 0.0, 0.0)
    second, _ = gradient_by_hand(tree.add(params, tree.unit(first), 0.5), batch_of(0), 0.0, 0.0)
    expected = tree.add(params, tree.mix(first, second, alpha), -RATE)
    assert_trees_close(state.params, expected, rtol=1e-4)
    assert "sharpness" not in metrics


def test_one_pass_keeps_the_batch_statistics_of_the_perturbed_parameters():
    model = ToyModel()
    options = {"model": model, "penalty": penalty(ascent="stale", alpha=1.0)}
    state, step = build(**options)
    state, _ = step(state, None, split(batch_of(0), 1))
    before = jax.device_get(state)
    state, _ = step(state, None, split(batch_of(1), 1))
    there = tree.add(before.params, tree.unit(before.ascent_memory), 0.5)
    batch = {k: jnp.asarray(v) for k, v in batch_of(1).items()}
    _, aux = Objective(model, l2=1e-3)(there, before.batch_stats, batch, {})
    assert_trees_close(state.batch_stats, aux["batch_stats"], rtol=1e-4)


def halves(batch):
    return [{k: v[part] for k, v in batch.items()} for part in (slice(0, 8), slice(8, 16))]


def mean(trees):
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)


def flops(**options):
    state, step = build(model=ToyModel(use_batch_norm=False, hidden=256), **options)
    # Enough images for the passes to outweigh what is done once for each parameter.
    batch = {k: np.repeat(v, 16, axis=1) for k, v in split(batch_of(0), 1).items()}
    lowered = step.lower(state, None, batch)
    return lowered.compile().cost_analysis()["flops"]


def test_passes_counted_in_the_compiled_program():
    one = flops()
    assert 1.9 < flops(penalty=penalty()) / one < 2.1
    assert 2.8 < flops(penalty=penalty(ascent_steps=2)) / one < 3.2
    assert flops(penalty=penalty(**ONE_PASS)) / one < 1.02
    assert 1.2 < flops(penalty=penalty(ascent_share=0.25)) / one < 1.27
    assert 1.9 < flops(penalty=penalty(ascent="friendly")) / one < 2.1
