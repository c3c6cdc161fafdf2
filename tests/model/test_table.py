"""Every registered model and its number of parameters, found by tracing alone."""

import jax
import numpy as np
import pytest

from gnp.model import create_model, model_names, registry
from tests.model.golden_models import BARE, IMAGE_SIZES, NAMES, golden, shapes

# For 10 classes and three channels, at the size the model is made for.
PARAMETERS = {
    "VGG16": 33_638_218,
    "VGG19": 38_947_914,
    "VGG16BN": 33_646_666,
    "VGG19BN": 38_958_922,
    "ResNet18": 11_150_874,
    "ResNet34": 21_262_746,
    "ResNet50": 23_504_090,
    "ResNet101": 42_496_218,
    "ResNet152": 58_139_866,
    "ResNet200": 62_620_890,
    "WideResNet_10_1": 75_290,
    "WideResNet_16_4": 2_706_906,
    "WideResNet_28_10": 36_220_634,
    "WideResNet_40_10": 55_583_194,
    "WideResNet_2_96_ShakeShake": 26_192_922,
    "PyramidNet_164_48": 1_715_410,
    "PyramidNet_164_270": 27_215_989,
    "PyramidNet_200_240": 26_752_670,
    "PyramidNet_272_200": 26_210_810,
    "PyramidNet_164_48_ShakeDrop": 1_715_442,
    "PyramidNet_272_200_ShakeDrop": 26_210_842,
    "PyramidNetBase": 30_842,
    "ViT_Micro": 21_162,
    "ViT_TI16": 5_362_762,
    "ViT_S16": 21_342_346,
    "ViT_B16": 85_152_010,
    "ViT_L16": 302_439_434,
    "ViTBase": 5_538,
    "Swin_Tiny": 27_505_108,
    "Swin_Tiny_Patch4": 27_505_300,
    "Swin_Tiny_224": 27_527_044,
    "Swin_Small": 48_805_732,
    "Swin_Small_Patch4": 48_800_164,
    "Swin_Base": 86_701_186,
    "Swin_Base_Patch4": 86_693_762,
    "CaiT_XXS12": 6_258_154,
    "CaiT_XXS24": 11_601_610,
    "CaiT_XXS36": 16_945_066,
    "CaiT_XS12": 14_032_378,
    "CaiT_XS24": 26_029_162,
    "CaiT_S12": 24_903_370,
    "CaiT_S24": 46_207_882,
    "CaiT_S36": 67_512_394,
    "CaiT_M24": 184_434_442,
    "CaiT_M36": 269_513_866,
    "CaiT_M48": 354_593_290,
}


def test_every_registered_model_is_in_the_table():
    factories = {name: registry._factories[name] for name in model_names()}
    classes = {name: getattr(factory, "func", factory) for name, factory in factories.items()}
    # Other tests may have registered models of their own.
    ours = [name for name, made in classes.items() if made.__module__.startswith("gnp.")]
    assert sorted(PARAMETERS) == ours


def test_the_table_agrees_with_the_golden_files():
    for name in NAMES:
        assert golden(name)["param_count"] == PARAMETERS[name]


@pytest.mark.parametrize("name", model_names())
def test_parameters(name):
    model = create_model(name, num_outputs=10, **BARE.get(name, {}))
    params = shapes(model, IMAGE_SIZES.get(name, 32))["params"]
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)) == PARAMETERS[name]
