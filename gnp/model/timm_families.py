"""The model families that timm has too: how their names, fields and files differ from ours."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from flax import linen as nn

from gnp.model.weights import Weights

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Family:
    """The differences between a model family here and in timm.

    Attributes:
      rename: (our path with PyTorch's name of its last part, our model) -> timm's path.
      model_params: timm's arrays -> the constructor's fields with which our model computes the same
        as timm's.
      needs: our weights -> the field values that our model must have to compute the same.
      image_size: timm's arrays -> height and width of its input.
      first: timm's first layer, a convolution.
      head: timm's last layer.
      splits_qkv: query, key and value are one layer in timm and three here.
      modernize: renames the entries of early files to the current names.
    """

    rename: Callable[[str, nn.Module], str]
    model_params: Callable[[Arrays], dict[str, Any]]
    needs: Callable[[Weights], dict[str, Any]]
    image_size: Callable[[Arrays], int] = lambda arrays: 224
    first: str = "patch_embed.proj"
    head: str = "head"
    splits_qkv: bool = False
    modernize: Callable[[Arrays], Arrays] = lambda arrays: arrays


def _by_patterns(patterns):
    def rename(path, model):
        for ours, theirs in patterns.items():
            path = re.sub(ours, theirs, path)
        return path

    return rename


def _patch(arrays):
    return arrays["patch_embed.proj.weight"].shape[-1]


def _size_from_positions(num_extra_tokens):
    def size(arrays):
        tokens = arrays["pos_embed"].shape[1] - num_extra_tokens
        return round(tokens**0.5) * _patch(arrays)

    return size


def _patch_size(arrays):
    return {"patch_size": _patch(arrays)}


def _swin_params(arrays):
    return {
        "patch_size": _patch(arrays),
        "window_size": _window(arrays, stage=0),
        "pad_after_shift": True,
    }


def _swin_needs(weights):
    """If the windows tile every stage, nothing is padded, and the order does not matter."""
    model = weights.model()
    sides = np.array(weights.image_shape[:2]) // model.patch_size
    rests = False
    for _ in model.depths:
        rests |= np.any((sides > model.window_size) & (sides % model.window_size > 0))
        sides = -(-sides // 2)
    return {"norm_epsilon": 1e-5} | ({"pad_after_shift": True} if rests else {})


def _swin_size(arrays):
    """The size at which the last stage is one window, as in all published models.

    If the windows of other stages do not fit that size, the largest smaller size that fits.
    """
    last = max(int(key.split(".")[1]) for key in arrays if key.startswith("layers."))
    windows = [_window(arrays, stage) for stage in range(last + 1)]
    largest = 2**last * windows[-1]

    def fits(side):
        sides = [-(-side // 2**stage) for stage in range(last + 1)]
        return windows == [min(windows[0], side) for side in sides]

    return _patch(arrays) * next(filter(fits, range(largest, 0, -1)), largest)


def _window(arrays, stage):
    rows = len(arrays[f"layers.{stage}.blocks.0.attn.relative_position_bias_table"])
    return (round(rows**0.5) + 1) // 2


def _modernize_swin(arrays):
    """In early files, merging is the end of a stage, and the head is a single layer."""
    result = {}
    closes_a_stage = "layers.0.downsample.norm.weight" in arrays
    for key, array in arrays.items():
        if closes_a_stage:
            key = re.sub(
                r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", key
            )
        result[re.sub(r"^head\.(weight|bias)$", r"head.fc.\1", key)] = array
    return result


def _rename_resnet(path, model):
    path = re.sub(r"^Dense_0\.", "fc.", path)
    block = re.match(r"^[A-Za-z]+Block_(\d+)\.", path)
    if block:
        stage, index = 0, int(block[1])
        while index >= model.depths[stage]:
            index -= model.depths[stage]
            stage += 1
        path = path.replace(block[0], f"layer{stage + 1}.{index}.")
    shortcut = {"basic": 2, "bottleneck": 3}[model.block]
    path = re.sub(rf"\.Conv_{shortcut}\.", ".downsample.0.", path)
    path = re.sub(rf"\.BatchNorm_{shortcut}\.", ".downsample.1.", path)
    path = re.sub(r"\bConv_(\d)", lambda m: f"conv{int(m[1]) + 1}", path)
    return re.sub(r"\bBatchNorm_(\d)", lambda m: f"bn{int(m[1]) + 1}", path)


_TORCH_RESNET = {"stem": "imagenet", "stem_relu": True, "symmetric_padding": True}


def _resnet_params(arrays):
    is_basic = "layer1.0.conv3.weight" not in arrays
    return _TORCH_RESNET | ({"conv_bias": False} if is_basic else {})


def _resnet_needs(weights):
    is_basic = weights.model().block == "basic"
    return _TORCH_RESNET | ({"conv_bias": False} if is_basic else {})


FAMILIES = {
    "ViT": Family(
        rename=_by_patterns(
            {
                r"^patch_embed\.": "patch_embed.proj.",
                r"^cls_token\..*": "cls_token",
                r"\.attention\.out\.": ".attn.proj.",
                r"\.attention\.": ".attn.",
            }
        ),
        model_params=lambda arrays: {"patches": {"size": _patch(arrays)}},
        image_size=_size_from_positions(1),
        needs=lambda weights: {"representation_size": None, "norm_epsilon": 1e-6},
        splits_qkv=True,
    ),
    "Swin": Family(
        rename=_by_patterns(
            {
                r"^patch_embed\.": "patch_embed.proj.",
                r"^patch_norm\.": "patch_embed.norm.",
                r"^stage(\d+)_block(\d+)": r"layers.\1.blocks.\2",
                r"^merging(\d+)": r"layers.\1.downsample",
                r"\.attention\.": ".attn.",
                r"^head\.": "head.fc.",
            }
        ),
        model_params=_swin_params,
        image_size=_swin_size,
        needs=_swin_needs,
        head="head.fc",
        modernize=_modernize_swin,
    ),
    "CaiT": Family(
        rename=_by_patterns(
            {
                r"^patch_embed\.": "patch_embed.proj.",
                r"^cls_token\..*": "cls_token",
                r"^class_block(\d+)": r"blocks_token_only.\1",
                r"\.gamma(\d)\.gamma": r".gamma_\1",
                r"\.mix_logits\.": ".proj_l.",
                r"\.mix_weights\.": ".proj_w.",
                r"\.attention\.(query|key|value)": lambda match: f".attn.{match[1][0]}",
                r"\.attention\.": ".attn.",
            }
        ),
        model_params=_patch_size,
        image_size=_size_from_positions(0),
        needs=lambda weights: {"norm_epsilon": 1e-6},
    ),
    "ResNet": Family(
        rename=_rename_resnet,
        model_params=_resnet_params,
        needs=_resnet_needs,
        first="conv1",
        head="fc",
    ),
}
