"""Registering, listing and creating models by name."""

import functools

import pytest
from flax import linen as nn

from gnp.errors import UserError
from gnp.model import create_model, model_names, register_model, registry
from tests import registries


@pytest.fixture(autouse=True)
def _own_table(monkeypatch):
    registries.forget_after(monkeypatch)


class Tiny(nn.Module):
    """Needs a width."""

    num_outputs: int
    width: int
    scale: float = 1.0

    def __call__(self, inputs, train):
        return inputs


def test_a_registered_class_is_returned_unchanged_and_created():
    assert register_model("Tiny")(Tiny) is Tiny
    assert create_model("Tiny", 3, width=4, scale=0.5) == Tiny(3, 4, 0.5)
    assert "Tiny" in model_names()


def test_the_name_of_the_reference_registers_too():
    registry._register_model("Tiny")(Tiny)
    assert create_model("Tiny", 3, width=4) == Tiny(3, 4)


def test_a_name_is_taken_once():
    register_model("Tiny")(Tiny)
    with pytest.raises(ValueError, match="'Tiny' is registered already"):
        register_model("Tiny")(Tiny)


def test_unknown_name_lists_the_nearest_first():
    with pytest.raises(UserError, match="model 'ResNet51'; known: ResNet18, ResNet50"):
        create_model("ResNet51", 10)


def test_unknown_field_lists_those_of_the_class():
    register_model("Tiny")(Tiny)
    with pytest.raises(UserError, match="parameter of model Tiny 'widht'; known: width, scale"):
        create_model("Tiny", 3, widht=4)


def test_unknown_field_lists_those_behind_a_partial():
    register_model("Tiny4")(functools.partial(Tiny, width=4))
    with pytest.raises(UserError, match="parameter of model Tiny4 'size'; known: scale, width"):
        create_model("Tiny4", 3, size=4)


def test_a_partial_may_be_overridden():
    register_model("Tiny4")(functools.partial(Tiny, width=4))
    assert create_model("Tiny4", 3, width=5).width == 5


def test_missing_fields_are_named():
    params = "model.model_params"
    with pytest.raises(UserError, match=f"no pyramid_depth of its own; set {params}.pyramid_depth"):
        create_model("PyramidNetBase", 10, pyramid_alpha=48)
    both = f"no pyramid_depth and no pyramid_alpha of its own; set {params}.pyramid_depth and "
    with pytest.raises(UserError, match=both):
        create_model("PyramidNetBase", 10)


def test_the_name_is_no_field():
    with pytest.raises(UserError, match="parameter of model VGG16 'name'; known: "):
        create_model("VGG16", 10, **{"name": "mine"})


@pytest.mark.parametrize(
    ("name", "field"), [("VGG16", "dropout"), ("ResNet50", "stems"), ("WideResNet_28_10", "dept")]
)
def test_fields_of_the_families_are_listed(name, field):
    with pytest.raises(UserError, match=r"known: .*\bremat\b"):
        create_model(name, 10, **{field: 1})
