"""Conversion of weights from and to timm (huggingface/pytorch-image-models).

Layers here and in timm differ in their names and layouts: dense kernels are transposed and may have
axes split over heads, convolution kernels have another order of axes, and timm's ViT has one layer
for query, key and value. Converted models compute the same logits.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from flax import linen as nn
from flax import traverse_util

from gnp.errors import UserError, unknown_name
from gnp.model.registry import create_model
from gnp.model.scanned_blocks import unstack_params
from gnp.model.weights import Weights, variable_shapes

Arrays = dict[str, np.ndarray]

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
# Entries of timm's state dictionaries that are not weights.
_DERIVED = ("num_batches_tracked", "attn_mask", "relative_position_index")


@dataclasses.dataclass(frozen=True)
class _Family:
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
    if model.block != "bottleneck":
        raise UserError(
            "timm's ResNet18 and ResNet34 have convolutions without biases, unlike ours, so their "
            "weights cannot be converted; ResNet50 and deeper models can."
        )
    path = re.sub(r"^Dense_0\.", "fc.", path)
    block = re.match(r"^[A-Za-z]+Block_(\d+)\.", path)
    if block:
        stage, index = 0, int(block[1])
        while index >= model.depths[stage]:
            index -= model.depths[stage]
            stage += 1
        path = path.replace(block[0], f"layer{stage + 1}.{index}.")
    path = re.sub(r"\.Conv_3\.", ".downsample.0.", path)
    path = re.sub(r"\.BatchNorm_3\.", ".downsample.1.", path)
    path = re.sub(r"\bConv_(\d)", lambda m: f"conv{int(m[1]) + 1}", path)
    return re.sub(r"\bBatchNorm_(\d)", lambda m: f"bn{int(m[1]) + 1}", path)


_TORCH_RESNET = {"stem": "imagenet", "stem_relu": True, "symmetric_padding": True}

_FAMILIES = {
    "ViT": _Family(
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
    "Swin": _Family(
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
    "CaiT": _Family(
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
    "ResNet": _Family(
        rename=_rename_resnet,
        model_params=lambda arrays: dict(_TORCH_RESNET),
        needs=lambda weights: _TORCH_RESNET,
        first="conv1",
        head="fc",
    ),
}


def from_timm(arrays: Arrays, name: str, *, approximate_gelu: bool = False) -> Weights:
    """Converts weights from timm.

    Args:
      arrays: timm's state dictionary.
      name: our model with the same architecture.
      approximate_gelu: whether the model uses the tanh form of GELU; the arrays do not say.

    Raises:
      UserError: timm has no such model, or the arrays do not match it.
    """
    family = _family(name)
    arrays = {key: x for key, x in arrays.items() if key.rpartition(".")[2] not in _DERIVED}
    arrays = family.modernize(arrays)
    if family.splits_qkv:
        arrays = _split_qkv(arrays)
    try:
        num_outputs = len(arrays[f"{family.head}.weight"])
        channels = arrays[f"{family.first}.weight"].shape[1]
        params = family.model_params(arrays)
        size = family.image_size(arrays)
    except KeyError as missing:
        raise UserError(
            f"The file has no tensor {missing}, so it is not a {name} of timm with a head; "
            "give the file of a model of the same geometry."
        ) from missing
    image_shape = (size, size, channels)
    model = create_model(name, num_outputs, **params)
    if hasattr(model, "approximate_gelu"):
        params["approximate_gelu"] = approximate_gelu
        model = create_model(name, num_outputs, **params)
    names = functools.partial(_name, family=family, model=model)
    variables = _to_ours(arrays, variable_shapes(model, image_shape), names, name)
    return Weights(name, num_outputs, image_shape, params, variables)


def to_timm(weights: Weights) -> Arrays:
    """Converts weights to the state dictionary of timm's model.

    Raises:
      UserError: timm has no model that computes the same.
    """
    family = _family(weights.name)
    model = weights.model()
    for field, value in family.needs(weights).items():
        if getattr(model, field) != value:
            raise UserError(
                f"timm's models are like our {weights.name} with {field}={value!r}, but this one "
                f"has {getattr(model, field)!r}; train with model.model_params.{field}={value}."
            )
    flat = {}
    for collection in weights.variables.values():
        leaves = traverse_util.flatten_dict(unstack_params(collection), sep=".")
        for path, leaf in leaves.items():
            leaf = np.asarray(leaf)
            flat[_name(path, family, model)] = _to_torch_layout(path, leaf, leaves)
    return _join_qkv(flat) if family.splits_qkv else flat


def _family(name):
    for prefix, family in _FAMILIES.items():
        if name.startswith(prefix):
            return family
    raise unknown_name("family of models that timm has too", name, _FAMILIES)


def _to_ours(arrays, shapes, timm_name, name):
    """timm's arrays as a tree of these shapes; raises unless arrays and leaves correspond."""
    left = dict(arrays)
    variables = {}
    for collection, tree in shapes.items():
        leaves = {}
        for path, leaf in traverse_util.flatten_dict(tree, sep=".").items():
            theirs = timm_name(path)
            if theirs not in left:
                raise UserError(f"The file has no tensor {theirs!r}, which {name} needs.")
            array = left.pop(theirs)
            if array.size != np.prod(leaf.shape, dtype=int):
                raise UserError(
                    f"Tensor {theirs!r} has the shape {array.shape}, but {name} has "
                    f"{leaf.shape} there; give the file of a model of the same geometry."
                )
            leaves[path] = _to_our_layout(path, array, leaf.shape)
        variables[collection] = traverse_util.unflatten_dict(leaves, sep=".")
    if left:
        raise UserError(
            f"The file has {len(left)} tensors that {name} has no place for, such as "
            f"{min(left)!r}; give the file of a model of the same geometry."
        )
    return variables


def _name(path, family, model):
    layer, _, leaf = path.rpartition(".")
    path = f"{layer}.{_LEAVES.get(leaf, leaf)}".lstrip(".")
    return family.rename(path, model)


def _to_our_layout(path, array, shape):
    if path.endswith("kernel"):
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
    return np.ascontiguousarray(array).reshape(shape)


def _to_torch_layout(path, array, leaves):
    if path.endswith("kernel"):
        if array.ndim == 4:
            return array.transpose(3, 2, 0, 1)
        bias = leaves.get(path.removesuffix("kernel") + "bias")
        outputs = array.shape[-1] if bias is None else bias.size
        return array.reshape(-1, outputs).T
    if path.endswith("bias"):
        return array.reshape(-1)
    return array


_PARTS = ("query", "key", "value")


def _split_qkv(arrays):
    result = {}
    for key, array in arrays.items():
        if ".attn.qkv." not in key:
            result[key] = array
            continue
        for part, values in zip(_PARTS, np.split(array, 3), strict=True):
            result[key.replace(".qkv.", f".{part}.")] = values
    return result


def _join_qkv(arrays):
    result = {}
    for key, array in arrays.items():
        part = re.search(r"\.attn\.(query|key|value)\.", key)
        if not part:
            result[key] = array
        elif part[1] == "query":
            keys = [key.replace(".query.", f".{part}.") for part in _PARTS]
            joined = key.replace(".query.", ".qkv.")
            result[joined] = np.concatenate([arrays[part_key] for part_key in keys])
    return result
