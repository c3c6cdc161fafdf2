"""What the compiled step holds, moves and computes: nothing beside what the formulas need."""

import jax
import pytest

from benchmark.collectives import collectives
from benchmark.jax.steps import ONE_PASS, QUARTER_BATCH, make_batch, our_step
from gnp.model import create_model
from gnp.training.perturbation_groups import PerturbationGroups


@pytest.fixture(scope="module")
def programs():
    """Compiled steps by kind, and the bytes of the parameters and of the whole state."""
    model = create_model("WideResNet_10_1", 10)
    batch = make_batch(4 * jax.device_count(), 8)
    kinds = {
        "standard": {"penalized": False},
        "penalized": {"penalized": True},
        "shared": {"penalized": True, "groups": PerturbationGroups(devices=jax.device_count())},
        "one_pass": {"penalized": True, "form": ONE_PASS},
        "quarter_batch": {"penalized": True, "form": QUARTER_BATCH},
    }
    compiled = {}
    for kind, options in kinds.items():
        step, state, *data = our_step(model, batch, **options)
        compiled[kind] = step.lower(state, *data).compile()
    return compiled, _bytes(state.params), _bytes(state)


def _bytes(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("kind", "reductions"),
    [("standard", 1), ("penalized", 1), ("shared", 2), ("one_pass", 1), ("quarter_batch", 1)],
)
def test_the_devices_share_one_reduction_for_each_gradient_that_needs_it(
    programs, kind, reductions
):
    compiled, parameters, _ = programs
    found = collectives(compiled[kind].as_text())
    assert [name for name, _ in found] == ["all-reduce"] * reductions
    # Of 4 bytes each; beside the gradient, batch statistics and a few scalars are averaged.
    assert all(0.99 < 4 * moved / parameters < 1.02 for _, moved in found)


def test_the_penalty_costs_a_second_pass_and_hardly_more(programs):
    compiled, *_ = programs
    standard, penalized = (
        compiled[kind].cost_analysis()["flops"] for kind in ("standard", "penalized")
    )
    assert 1.95 < penalized / standard <= 2.02


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


def test_one_pass_remembers_one_tree_and_holds_no_second_gradient(programs):
    compiled, parameters, _ = programs
    standard, one_pass = (compiled[k].memory_analysis() for k in ("standard", "one_pass"))
    state = one_pass.argument_size_in_bytes - standard.argument_size_in_bytes
    assert 0.99 < state / parameters < 1.01
    assert one_pass.temp_size_in_bytes - standard.temp_size_in_bytes < 1.5 * parameters


def test_the_penalty_holds_one_more_gradient_and_not_two(programs):
    compiled, parameters, _ = programs
    standard, penalized = (
        compiled[kind].memory_analysis().temp_size_in_bytes for kind in ("standard", "penalized")
    )
    assert penalized - standard < 1.5 * parameters


@pytest.mark.parametrize("kind", ["standard", "penalized", "shared"])
def test_the_new_state_lies_where_the_old_one_was(programs, kind):
    compiled, _, state = programs
    reused = compiled[kind].memory_analysis().alias_size_in_bytes
    assert reused >= 0.99 * state
