"""Weights under timm's names: what comes back, what computes the same there, what is refused."""

import dataclasses
import functools
import io

import jax
import numpy as np
import pytest
from flax import traverse_util

from gnp.errors import UserError
from gnp.main.convert import TIMM_TANH_GELU
from gnp.model import create_model
from gnp.model.timm_weights import from_timm, to_timm
from gnp.model.weights import Weights, load_weights, save_weights, variable_shapes
from tests.golden import fill
from tests.model.golden_models import filled

SMALL = {
    "Swin_Tiny_224": {
        "patch_size": 4,
        "window_size": 7,
        "pad_after_shift": True,
        "approximate_gelu": False,
    },
    "CaiT_XXS12": {"patch_size": 16, "approximate_gelu": False},
    "ResNet50": {"stem": "imagenet", "stem_relu": True, "symmetric_padding": True},
    "ResNet18": {
        "stem": "imagenet",
        "stem_relu": True,
        "symmetric_padding": True,
        "conv_bias": False,
    },
    "ViT_Micro": {"patches": {"size": 4}, "approximate_gelu": False},
}


def weights_of(name, num_outputs=10, size=224, **fields):
    params = SMALL[name] | fields
    model = create_model(name, num_outputs, **params)
    variables = filled(variable_shapes(model, (size, size, 3)))
    return Weights(name, num_outputs, (size, size, 3), params, variables)


def assert_equal(actual, expected):
    actual = traverse_util.flatten_dict(actual, sep="/")
    expected = traverse_util.flatten_dict(expected, sep="/")
    assert actual.keys() == expected.keys()
    for path, leaf in expected.items():
        np.testing.assert_array_equal(actual[path], leaf, err_msg=path)


@pytest.mark.parametrize("name", SMALL)
def test_to_timm_and_back(name):
    weights = weights_of(name)
    again = from_timm(to_timm(weights), name)
    assert again.num_outputs == weights.num_outputs
    assert again.image_shape == weights.image_shape
    assert again.model_params == weights.model_params
    assert_equal(again.variables, weights.variables)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("ViT_Micro", "cls_token pos_embed patch_embed.proj.weight blocks.1.attn.qkv.weight"),
        ("ViT_Micro", "blocks.0.norm1.weight blocks.1.attn.proj.bias blocks.0.mlp.fc1.weight"),
        ("ViT_Micro", "blocks.0.attn.qkv.bias blocks.1.norm2.bias norm.weight head.weight"),
        ("Swin_Tiny_224", "patch_embed.norm.weight layers.3.downsample.reduction.weight"),
        ("Swin_Tiny_224", "layers.2.blocks.5.attn.relative_position_bias_table head.fc.bias"),
        ("CaiT_XXS12", "cls_token pos_embed blocks.11.gamma_2 blocks.0.attn.proj_l.weight"),
        ("CaiT_XXS12", "blocks.0.attn.proj_w.bias blocks_token_only.1.attn.q.weight"),
        ("ResNet50", "conv1.weight bn1.running_var layer1.0.downsample.1.weight fc.bias"),
        ("ResNet18", "layer2.0.downsample.1.weight layer4.1.conv2.weight layer1.1.bn2.bias"),
        ("ResNet50", "layer1.0.downsample.0.weight layer3.5.conv3.weight layer4.2.bn2.weight"),
    ],
)
def test_names_are_those_of_timm(name, names):
    assert set(names.split()) <= to_timm(weights_of(name)).keys()


@pytest.mark.parametrize("name", SMALL)
def test_to_file_and_back(name, tmp_path):
    weights = weights_of(name)
    save_weights(tmp_path / "weights.npz", weights)
    again = load_weights(tmp_path / "weights.npz")
    assert again.model() == weights.model()
    assert_equal(again.variables, weights.variables)


def test_a_file_of_something_else(tmp_path):
    whole = tmp_path / "whole.npz"
    save_weights(whole, weights_of("ViT_Micro"))
    content = whole.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    other = io.BytesIO()
    np.savez(other, about='{"name": "ViT_Micro"}')
    for wrong in (b"no weights", b"", content[: len(content) // 2], flipped, other.getvalue()):
        (tmp_path / "weights.npz").write_bytes(wrong)
        with pytest.raises(UserError, match=r"weights\.npz is not a file of weights"):
            load_weights(tmp_path / "weights.npz")


def test_a_model_that_timm_lacks():
    with pytest.raises(UserError, match="Unknown family of models that timm has too"):
        from_timm({}, "WideResNet_16_4")


def test_a_model_that_computes_something_else():
    weights = weights_of("ResNet50")
    weights = dataclasses.replace(weights, model_params={"stem": "imagenet"})
    with pytest.raises(UserError, match="are like our ResNet50 with stem_relu=True, but this one"):
        to_timm(weights)


@pytest.mark.parametrize("name", ["ViT_Micro", "Swin_Tiny_224", "CaiT_XXS12"])
def test_another_epsilon(name):
    with pytest.raises(
        UserError, match=f"our {name} with norm_epsilon=1e-0., but this one has 0.1"
    ):
        to_timm(weights_of(name, size=32, norm_epsilon=0.1))


@pytest.mark.parametrize("patch_size", [4, (4, 4)])
def test_a_swin_that_pads_before_it_shifts(patch_size):
    fields = {"patch_size": patch_size, "pad_after_shift": False}
    assert to_timm(weights_of("Swin_Tiny_224", size=224, **fields))
    with pytest.raises(UserError, match="our Swin_Tiny_224 with pad_after_shift=True, but this"):
        to_timm(weights_of("Swin_Tiny_224", size=96, **fields))


@pytest.mark.parametrize("size", [48, 64, 96, 224])
def test_the_size_of_a_swin_s_images(size):
    weights = weights_of("Swin_Tiny_224", size=size)
    assert from_timm(to_timm(weights), "Swin_Tiny_224").image_shape == (size, size, 3)


def test_timm_s_basic_blocks_have_no_biases():
    with pytest.raises(UserError, match="are like our ResNet18 with conv_bias=False, but this one"):
        to_timm(weights_of("ResNet18", size=64, conv_bias=True))
    with pytest.raises(UserError, match=r"give the file of a model of the same geometry\.$"):
        from_timm(to_timm(weights_of("ResNet50")), "ResNet18")


def test_a_tensor_too_many():
    arrays = to_timm(weights_of("ViT_Micro")) | {"dist_token": np.zeros((1, 1, 32))}
    with pytest.raises(UserError, match=r"1 tensors that ViT_Micro has no place for.*'dist_token'"):
        from_timm(arrays, "ViT_Micro")


def test_a_tensor_missing():
    arrays = to_timm(weights_of("ViT_Micro"))
    del arrays["blocks.1.mlp.fc1.bias"]
    with pytest.raises(UserError, match=r"no tensor 'blocks\.1\.mlp\.fc1\.bias'"):
        from_timm(arrays, "ViT_Micro")


def test_another_geometry():
    with pytest.raises(UserError, match=r"has the shape .*, but ViT_TI16 has"):
        from_timm(to_timm(weights_of("ViT_Micro")), "ViT_TI16")


# timm's name, ours of the same geometry, the image's size, what keeps the test small, and whether
# GELU is the tanh form.
TWINS = [
    ("vit_tiny_patch16_224", "ViT_TI16", 32, {"img_size": 32}, False),
    ("vit_small_patch16_224", "ViT_S16", 32, {"img_size": 32}, True),
    ("deit_tiny_patch16_224", "ViT_TI16", 64, {"img_size": 64}, False),
    ("swin_tiny_patch4_window7_224", "Swin_Tiny_224", 224, {}, False),
    ("swin_tiny_patch4_window7_224", "Swin_Tiny_224", 48, {"img_size": 48}, True),  # pads, odd side
    ("swin_small_patch4_window7_224", "Swin_Small", 64, {"img_size": 64, "window_size": 4}, False),
    ("cait_xxs24_224", "CaiT_XXS24", 64, {"img_size": 64}, False),
    ("cait_xxs24_224", "CaiT_XXS24", 32, {"img_size": 32}, True),
    ("resnet18", "ResNet18", 64, {}, False),
    ("resnet50", "ResNet50", 64, {}, False),
]


@pytest.mark.slow
@pytest.mark.parametrize(("theirs", "ours", "size", "arguments", "tanh_gelu"), TWINS)
def test_same_logits_as_timm(theirs, ours, size, arguments, tanh_gelu):
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    twin = timm.create_model(theirs, num_classes=10, **arguments).eval()
    if tanh_gelu:
        exec(TIMM_TANH_GELU, {"model": twin, "timm": timm})
    with torch.no_grad():
        for name, leaf in twin.state_dict().items():
            if leaf.is_floating_point():
                noise = 0.05 * torch.randn_like(leaf)
                leaf += noise.abs() if name.endswith("running_var") else noise
    images = fill.images(2, size)
    with torch.no_grad():
        expected = twin(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()

    arrays = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
    weights = from_timm(arrays, ours, approximate_gelu=tanh_gelu)
    assert weights.image_shape[0] == (224 if ours.startswith("ResNet") else size)
    model = weights.model()
    logits = jax.jit(functools.partial(model.apply, train=False))(weights.variables, images)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)

    twin.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in to_timm(weights).items()})
    with torch.no_grad():
        again = twin(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_array_equal(again, expected)
