"""Values that fields of models do not take: each is answered with one sentence."""

import functools
import re

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from flax import linen as nn

from gnp.errors import UserError
from gnp.model import create_model, model_names, register_model, registry
from gnp.model.field_checks import Count, DType, Rate

COUNT = "must be a whole number of at least 1."
DEPTH = "must be a whole number from 1 to 2000."
RATE = "must be a number of at least 0 and below 1."


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ResNet50", {"remat": "no"}, "remat of model ResNet50 is 'no'; it must be True or False."),
        ("ResNet50", {"dtype": "bfloat17"}, "dtype of model ResNet50 is 'bfloat17'; it must be a "),
        ("ResNet50", {"dtype": "int32"}, "dtype of model ResNet50 is 'int32'; it must be a "),
        ("ResNet50", {"depths": 3}, "depths of model ResNet50 is 3; it must be a list of whole "),
        ("WideResNet_16_4", {"width": 0}, f"width of model WideResNet_16_4 is 0; it {COUNT}"),
        ("WideResNet_16_4", {"width": 1.5}, f"width of model WideResNet_16_4 is 1.5; it {COUNT}"),
        ("WideResNet_16_4", {"depth": "16"}, f"depth of model WideResNet_16_4 is '16'; it {DEPTH}"),
        (
            "WideResNet_16_4",
            {"depth": 10**9},
            f"depth of model WideResNet_16_4 is 1000000000; it {DEPTH}",
        ),
        (
            "ResNet50",
            {"depths": (3, 10**9)},
            "depths of model ResNet50 is (3, 1000000000); it must",
        ),
        (
            "CaiT_XXS12",
            {"class_depth": 2001},
            f"class_depth of model CaiT_XXS12 is 2001; it {DEPTH}",
        ),
        (
            "ViT_Micro",
            {"transformer": {"num_layers": 10**9}},
            f"transformer.num_layers of model ViT_Micro is 1000000000; it {DEPTH}",
        ),
        ("WideResNet_16_4", {"width": True}, f"width of model WideResNet_16_4 is True; it {COUNT}"),
        ("WideResNet_2_96_ShakeShake", {"width": 1}, "width of model WideResNet_2_96_ShakeShake "),
        ("VGG16", {"dropout_rate": 1.5}, f"dropout_rate of model VGG16 is 1.5; it {RATE}"),
        ("VGG16", {"dropout_rate": -0.1}, f"dropout_rate of model VGG16 is -0.1; it {RATE}"),
        ("VGG16", {"widths": (8, 0)}, "widths of model VGG16 is (8, 0); it must be a list of "),
        ("PyramidNet_164_48", {"pyramid_depth": "11"}, "pyramid_depth of model PyramidNet_164_48 "),
        ("PyramidNet_164_48", {"pyramid_alpha": -100}, "pyramid_alpha of model PyramidNet_164_48 "),
        ("Swin_Tiny", {"window_size": 0}, f"window_size of model Swin_Tiny is 0; it {COUNT}"),
        ("Swin_Tiny", {"window_size": (2, 2)}, "window_size of model Swin_Tiny is (2, 2); it "),
        ("Swin_Tiny", {"num_heads": 4}, "num_heads of model Swin_Tiny is 4; it must be a list of "),
        ("Swin_Tiny", {"mlp_ratio": 0}, "mlp_ratio of model Swin_Tiny is 0; it must be a number "),
        ("CaiT_XXS12", {"num_heads": 0}, f"num_heads of model CaiT_XXS12 is 0; it {COUNT}"),
        ("CaiT_XXS12", {"drop_path": 1.0}, f"drop_path of model CaiT_XXS12 is 1.0; it {RATE}"),
        ("CaiT_XXS12", {"patch_size": "4"}, "patch_size of model CaiT_XXS12 is '4'; it must be a "),
        ("ViT_Micro", {"drop_path": 1}, f"drop_path of model ViT_Micro is 1; it {RATE}"),
        ("ViT_Micro", {"patches": {"size": 0}}, "patches.size of model ViT_Micro is 0; it must be"),
        ("ViT_Micro", {"patches": {"size": (4,)}}, "patches.size of model ViT_Micro is (4,); it "),
        (
            "ViT_Micro",
            {"transformer": {"num_heads": 0}},
            f"transformer.num_heads of model ViT_Micro is 0; it {COUNT}",
        ),
        (
            "ViT_Micro",
            {"transformer": {"dropout_rate": 2}},
            f"transformer.dropout_rate of model ViT_Micro is 2; it {RATE}",
        ),
    ],
)
def test_a_value_of_another_kind(name, params, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        create_model(name, 10, **params)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ResNet18", {"depths": (1, 1)}),
        ("VGG16", {"depths": (1, 1), "widths": (4,)}),
        ("Swin_Tiny", {"depths": (2, 2)}),
    ],
)
def test_fields_of_stages_are_equally_long(name, params):
    model = create_model(name, 10, **params)
    with pytest.raises(UserError, match=r"^depths \(.*\) and \w+ \(.*\) do not fit together; give"):
        jax.eval_shape(
            functools.partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 8, 8, 3))
        )


def test_numbers_and_types_of_numpy_are_numbers_and_types():
    fields = {"embed_dim": np.int64(16), "drop_path": np.float32(0.5), "dtype": np.float16}
    assert create_model("CaiT_XXS12", 10, **fields).embed_dim == 16


@pytest.mark.parametrize("kind", [ml_collections.ConfigDict, ml_collections.FrozenConfigDict])
def test_blocks_of_fields_may_come_from_a_config(kind):
    model = create_model("ViT_Micro", 7, patches=kind({"size": (4, 2)}))
    assert tuple(model.patches["size"]) == (4, 2)


@pytest.mark.parametrize("given", [4, "size", [4, 4]])
def test_blocks_of_fields_are_given_by_name(given):
    with pytest.raises(UserError, match=r"^ViT_Micro takes patches by name \(size\), not as"):
        create_model("ViT_Micro", 10, patches=given)


def test_models_of_users(monkeypatch):
    class Theirs(nn.Module):
        num_outputs: int
        depth: Count = 2
        rate: Rate = 0.0
        dtype: DType = None
        shift: int = 0

    model_names()  # loads the families
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    register_model("Theirs")(Theirs)
    assert create_model("Theirs", 10, shift=-1, rate=0.5).shift == -1
    with pytest.raises(UserError, match="rate of model Theirs is 1; it must be"):
        create_model("Theirs", 10, rate=1)
