"""What the compiled step holds, moves and computes: nothing beside what the formulas need."""

import jax
import pytest

from benchmark.collectives import collectives
from benchmark.jax.steps import ONE_PASS, QUARTER_BATCH, make_batch, our_step
from gnp.model import create_model
from gnp.regularization.ascent import STEEPEST, friendly
from gnp.regularization.look_sam import look_sam
from gnp.regularization.passes import PenaltyForm
from gnp.training.perturbation_groups import PerturbationGroups


@pytest.fixture(scope="module")
def programs():
    """Compiled steps and the bytes of their whole states by kind; the bytes of the parameters."""
    model = create_model("WideResNet_10_1", 10)
    batch = make_batch(4 * jax.device_count(), 8)
    kinds = {
        "standard": {"penalized": False},
        "penalized": {"penalized": True},
        "shared": {"penalized": True, "groups": PerturbationGroups(devices=jax.device_count())},
        "one_pass": {"penalized": True, "form": ONE_PASS},
        "quarter_batch": {"penalized": True, "form": QUARTER_BATCH},
        "friendly": {"penalized": True, "form": PenaltyForm(ascent=friendly())},
        "look_sam": {"penalized": True, "form": PenaltyForm(ascent=look_sam(STEEPEST, 0.7))},
    }
    compiled, states = {}, {}
    for kind, options in kinds.items():
        step, state, *data = our_step(model, batch, **options)
        compiled[kind] = step.lower(state, *data).compile()
        states[kind] = _bytes(state)
    return compiled, states, _bytes(state.params)


def _bytes(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("kind", "reductions", "gradients"),
    [
        ("standard", 1, 1),
        ("penalized", 1, 1),
        ("shared", 2, 1),
        ("one_pass", 1, 1),
        ("quarter_batch", 1, 1),
        # What they remember is made of the mean of the first gradients.
        ("friendly", 1, 2),
        ("look_sam", 1, 2),
    ],
)
def test_the_devices_share_one_reduction_for_each_gradient_that_needs_it(
    programs, kind, reductions, gradients
):
    compiled, _, parameters = programs
    found = collectives(compiled[kind].as_text())
    assert [name for name, _ in found] == ["all-reduce"] * reductions
    # Of 4 bytes each; beside the gradients, batch statistics and a few scalars are averaged.
    trees = [4 * moved / parameters for _, moved in found]
    assert all(gradients - 0.01 < moved < gradients + 0.02 for moved in trees)


@pytest.mark.parametrize(
    ("kind", "most"), [("penalized", 2.02), ("friendly", 2.04), ("look_sam", 2.04)]
)
def test_the_penalty_costs_a_second_pass_and_hardly_more(programs, kind, most):
    compiled, *_ = programs
    standard, penalized = (compiled[k].cost_analysis()["flops"] for k in ("standard", kind))
    assert 1.95 < penalized / standard <= most


@pytest.mark.parametrize(("form", "most"), [(ONE_PASS, 1.02), (QUARTER_BATCH, 1.27)])
def test_cheaper_forms_cost_what_their_passes_do(form, most):
    model = create_model("WideResNet_10_1", 10)
    # Enough images for the passes to outweigh what is done once for each parameter.
    batch = make_batch(64 * jax.device_count(), 8)
    operations = []
    for options in ({"penalized": False}, {"penalized": True, "form": form}):
        step, state, *data = our_step(model, batch, **options)
        operations.append(step.lower(state, *data).cost_analysis()["flops"])
    assert operations[1] / operations[0] <= most


@pytest.mark.parametrize(
    ("kind", "other"),
    [("one_pass", "standard"), ("friendly", "penalized"), ("look_sam", "penalized")],
)
def test_a_memory_is_one_tree_and_takes_no_other_to_be_made(programs, kind, other):
    compiled, _, parameters = programs
    without, remembering = (compiled[k].memory_analysis() for k in (other, kind))
    state = remembering.argument_size_in_bytes - without.argument_size_in_bytes
    assert 0.99 < state / parameters < 1.01
    assert remembering.temp_size_in_bytes - without.temp_size_in_bytes < 0.5 * parameters


@pytest.mark.parametrize("kind", ["penalized", "quarter_batch"])
def test_the_penalty_holds_one_more_gradient_and_not_two(programs, kind):
    compiled, _, parameters = programs
    standard, penalized = (
        compiled[k].memory_analysis().temp_size_in_bytes for k in ("standard", kind)
    )
    assert penalized - standard < 1.5 * parameters


@pytest.mark.parametrize(
    "kind", ["standard", "penalized", "shared", "one_pass", "friendly", "look_sam"]
)
def test_the_new_state_lies_where_the_old_one_was(programs, kind):
    compiled, states, _ = programs
    reused = compiled[kind].memory_analysis().alias_size_in_bytes
    assert reused >= 0.99 * states[kind]
