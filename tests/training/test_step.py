"""One training step: groups, accumulation, batch statistics, guards, cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.errors import UserError
from gnp.regularization import tree
from gnp.training.gradient import Penalty
from gnp.training.objective import Objective
from gnp.training.perturbation_groups import PerturbationGroups, plan_groups
from tests.training.toy import ToyModel, split
from tests.training.toy_steps import (
    BATCH,
    ONE_PASS,
    assert_trees_close,
    batch_of,
    build,
    penalty,
    run,
)

pytestmark = pytest.mark.usefixtures("_compile_fast")


@pytest.mark.parametrize("m", [0, 2, 4, 8, 16])
def test_m_sharpness_does_not_depend_on_the_number_of_devices(m):
    results = []
    for devices in (1, 2, 4):
        groups = plan_groups(batch_size=BATCH, num_devices=devices, perturbation_batch=m)
        results.append(run(devices=devices, penalty=penalty(), groups=groups)[0].params)
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


@pytest.mark.parametrize(
    "form", [None, ONE_PASS, ONE_PASS | {"shrink_r_below": 2.0}, ONE_PASS | {"ascent": "stale"}]
)
def test_accumulation_of_one_pass_equals_one_large_batch(form):
    options = {"penalty": form and penalty(**form)}
    accumulated, _ = run(**options, groups=PerturbationGroups(per_device=4))
    large, _ = run(**options)
    assert_trees_close(accumulated.params, large.params)
    assert_trees_close(accumulated.ascent_memory, large.ascent_memory)


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
        Penalty(lambda step: 0.5, lambda step: 0.8, bn_policy="freeze")


@pytest.mark.parametrize(("form", "bad_pass"), [({"ascent": "friendly"}, 1), (ONE_PASS, 2)])
def test_step_that_is_not_finite_changes_nothing_but_the_counts(form, bad_pass):
    state, step = build(model=ToyModel(), optimizer="Momentum", penalty=penalty(**form))
    state, _ = step(state, None, split(batch_of(0), 2))
    before = jax.device_get(state)
    bad = batch_of(1)
    bad["image"][3] = np.inf  # on one of the two devices only
    after, metrics = step(state, None, split(bad, 2))
    assert metrics["nonfinite_pass"] == bad_pass
    assert (after.step, after.skipped) == (2, 1)
    for part in ("params", "batch_stats", "opt_state", "ascent_memory"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, part), getattr(before, part))


def test_clipping_is_of_the_mixed_gradient_and_zero_is_off():
    _, free = run(steps=1, penalty=penalty(), gradient_clipping=0.0)
    _, clipped = run(steps=1, penalty=penalty(), gradient_clipping=0.01)
    np.testing.assert_allclose(free["gradient_norm"], free["gradient_norm_mixed"])
    np.testing.assert_allclose(clipped["gradient_norm"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(clipped["gradient_norm_mixed"], free["gradient_norm_mixed"])


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
