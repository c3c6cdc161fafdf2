"""Which layer a parameter is in: as timm counts them."""

import jax
import pytest
from flax import traverse_util

from gnp.errors import UserError
from gnp.model import create_model
from gnp.model.timm_weights import _family, _name
from gnp.model.weights import variable_shapes
from gnp.optimizer.layer_numbers import layers

FIELDS = {"ViT_TI16": {"patches": {"size": 16}}}
FIELDS["CaiT_XXS24"] = {"patch_size": 16}


def paths_of(name, size=32):
    model = create_model(name, 10, **FIELDS.get(name, {}))
    params = variable_shapes(model, (size, size, 3))["params"]
    return model, list(traverse_util.flatten_dict(jax.tree.map(lambda x: 0, params), sep="/"))


# What is in which layer, and the number of the last one.
EXAMPLES = {
    "ViT_TI16": (
        {"pos_embed": 0, "cls_token": 0, "patch_embed/bias": 0, "blocks/0/norm1/scale": 1}
        | {"blocks/11/mlp/fc1/kernel": 12, "norm/scale": 12, "head/kernel": 13}
    ),
    "Swin_Tiny": (
        {"patch_norm/scale": 0, "stage0_block1/norm1/bias": 2, "merging1/reduction/kernel": 3}
        | {"stage1_block0/norm1/bias": 3, "stage3_block1/norm1/bias": 12, "norm/bias": 12}
        | {"head/kernel": 13}
    ),
    "CaiT_XXS24": (
        {"pos_embed": 0, "cls_token": 0, "blocks/0/norm1/scale": 1, "blocks/23/norm1/scale": 24}
        | {"class_block0/norm1/scale": 23, "class_block1/norm1/scale": 24, "norm/scale": 24}
        | {"head/bias": 25}
    ),
    "ResNet18": (
        {"Conv_0/kernel": 0, "BatchNorm_0/scale": 0, "BasicBlock_0/Conv_0/kernel": 1}
        | {"BasicBlock_7/Conv_1/kernel": 8, "Dense_0/kernel": 9}
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_layers_of_our_models(name):
    found = layers(paths_of(name)[1])
    assert {path: found[path] for path in EXAMPLES[name]} == EXAMPLES[name]
    assert set(found.values()) == set(range(max(EXAMPLES[name].values()) + 1))


@pytest.mark.parametrize("name", ["WideResNet_10_1", "VGG16BN"])
def test_other_models_are_refused(name):
    with pytest.raises(UserError, match=r"^opt\.layer_decay does not know which layer \S+ is in"):
        layers(paths_of(name)[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("vit_tiny_patch16_224", "ViT_TI16"),
        ("swin_tiny_patch4_window7_224", "Swin_Tiny"),
        ("cait_xxs24_224", "CaiT_XXS24"),
        ("resnet50", "ResNet50"),
    ],
)
def test_rates_are_those_of_timm(theirs, ours):
    pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    from timm.optim import param_groups_layer_decay

    twin = timm.create_model(theirs, num_classes=10)
    names = {id(param): name for name, param in twin.named_parameters()}
    expected = {
        names[id(param)]: group["lr_scale"]
        for group in param_groups_layer_decay(twin, layer_decay=0.7)
        for param in group["params"]
    }
    model, paths = paths_of(ours, 224 if ours == "Swin_Tiny" else 32)
    numbers = layers(paths)
    last = max(numbers.values())
    for path, number in numbers.items():
        name = _name(path.replace("/", "."), _family(ours), model)
        for part in ("query", "key", "value"):
            name = name.replace(f".attn.{part}.", ".attn.qkv.")
        assert 0.7 ** (last - number) == pytest.approx(expected[name], rel=1e-12), name
