"""The examples train, and their gradient is the formula's."""

import functools
import inspect
import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.errors import TraceContextError
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gnp

FOLDER = pathlib.Path(__file__).parents[2] / "examples"
NEEDS = {"with_equinox": "equinox", "with_haiku": "haiku"}
WITH_STATISTICS = ("with_equinox", "with_flax_linen", "with_flax_nnx", "with_haiku", "with_optax")
pytestmark = pytest.mark.usefixtures("_compile_fast")
_ran = {}


@pytest.fixture
def example(request):
    """Returns the variables of an example after its training; each runs once."""
    name = request.param
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    if name not in _ran:
        _ran[name] = runpy.run_path(str(FOLDER / f"{name}.py"))
    return _ran[name]


def examples(*names):
    return pytest.mark.parametrize("example", names, indirect=True)


@examples(*sorted(path.stem for path in FOLDER.glob("*.py")))
def test_it_trains(example):
    assert float(example["loss"]) < 0.2
    if "logits" in example:  # of the evaluation, by the collected statistics
        assert np.mean(example["logits"].argmax(1) == example["labels"]) > 0.95


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_it_is_short(path):
    assert len(path.read_text().splitlines()) <= 70


def arguments(example):
    """Returns the values that the example passes to its loss function: the latest."""
    return [example[name] for name in inspect.signature(example["loss_fn"]).parameters]


@functools.partial(jax.jit, static_argnames="loss_fn")
def by_formula(loss_fn, params, first_rest, second_rest, r=0.05, alpha=0.8):
    """Returns the gradient (1 − α)·g₁ + α·g₂ by hand, and the aux of both passes."""
    gradient = jax.grad(loss_fn, has_aux=True)
    g1, first_aux = gradient(params, *first_rest)
    scale = r / optax.tree.norm(g1)
    perturbed = jax.tree.map(lambda w, g: w + scale * g, params, g1)
    g2, second_aux = gradient(perturbed, *second_rest)
    mixed = jax.tree.map(lambda a, b: (1 - alpha) * a + alpha * b, g1, g2)
    return mixed, first_aux, second_aux


def are_close(found, expected):
    """Compares all floating-point numbers of two trees; keys and counters are none."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(
        np.allclose(a, b, rtol=1e-4, atol=1e-6)
        for a, b in pairs
        if jnp.issubdtype(a.dtype, jnp.floating)
    )


@examples(*WITH_STATISTICS)
def test_the_gradient_is_the_formula_and_the_statistics_are_those_of_the_first_pass(example):
    params, *rest = arguments(example)
    (_, aux), gradient = jax.jit(example["penalized"])(params, *rest, step=199)
    expected, first_aux, second_aux = by_formula(example["loss_fn"], params, rest, rest)
    assert are_close(gradient, expected)
    assert are_close(aux, first_aux)
    assert not are_close(aux, second_aux)


@examples(*WITH_STATISTICS)
def test_both_passes_drop_the_same_units(example):
    params, *rest = arguments(example)
    (_, aux), gradient = jax.jit(example["penalized"])(params, *rest, step=199)
    # NNX keeps its key, and how often it was used, in the rest.
    other = [aux, *rest[1:]] if "rest" in example else [*rest[:-1], jax.random.key(77)]
    different, _, _ = by_formula(example["loss_fn"], params, rest, other)
    assert not are_close(gradient, different)


@examples("devices_jit")
def test_its_batch_lies_on_all_devices(example):
    assert len(example["inputs"].sharding.device_set) == jax.device_count() > 1


@examples("devices_jit", *WITH_STATISTICS)
def test_a_mesh_gives_what_one_device_gives(example):
    mesh = jax.make_mesh((jax.device_count(),), ("devices",), (AxisType.Auto,))
    split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["devices"], []))
    names = inspect.signature(example["loss_fn"]).parameters
    places = [split if name in ("inputs", "labels") else whole for name in names]
    penalized = jax.jit(example["penalized"])
    on_all = penalized(*jax.device_put(arguments(example), places), step=199)
    on_one = penalized(*jax.device_put(arguments(example), jax.devices()[0]), step=199)
    (loss, _), _ = on_all
    assert len(loss.sharding.device_set) == jax.device_count() > 1
    assert are_close(on_all, on_one)


def loss_of(model, inputs, labels):
    return optax.softmax_cross_entropy_with_integer_labels(model(inputs), labels).mean()


@examples("with_flax_nnx")
def test_an_nnx_model_merged_without_a_copy_changes_variables_from_outside(example):
    def loss_fn(params, rest, *batch):
        return loss_of(nnx.merge(example["structure"], params, rest), *batch)

    penalized = gnp.value_and_grad(loss_fn, r=0.05, alpha=0.8)
    with pytest.raises(TraceContextError, match="BatchStat"):
        penalized(*arguments(example))


@examples("with_flax_nnx")
def test_an_nnx_model_itself_is_refused_for_its_keys(example):
    penalized = gnp.value_and_grad(loss_of, r=0.05, alpha=0.8)
    with pytest.raises(TypeError, match="uint32"):
        penalized(example["model"], example["inputs"], example["labels"])


@examples("devices_shard_map")
def test_shard_map_gives_the_gradient_of_the_mean_loss(example):
    devices = jax.device_count()

    def mean_loss(params, stats, inputs, labels, key):
        """The devices' programs as rows of one device."""
        rows = inputs.reshape(devices, -1, 5), labels.reshape(devices, -1)
        over_rows = jax.vmap(example["loss_fn"], (None, None, 0, 0, None), axis_name="devices")
        losses, stats_of_rows = over_rows(params, stats, *rows, key)
        return jnp.mean(losses), jax.tree.map(lambda leaf: leaf[0], stats_of_rows)

    *arrays, key = arguments(example)
    params, *rest = jax.device_get(arrays)  # not split over the mesh
    expected, first_aux, _ = by_formula(mean_loss, params, [*rest, key], [*rest, key])
    (_, aux), gradient = jax.jit(example["over_devices"])(*arguments(example))
    assert are_close(gradient, expected)
    assert are_close(aux, first_aux)
