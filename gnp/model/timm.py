"""Our variables under timm's names and layouts (huggingface/pytorch-image-models), and back.

A layer of ours has at most these differences from its twin there: its name, a dense kernel that is
transposed and has its axes split over heads, a convolution kernel with the axes in another order,
and, in ViT, query, key and value apart that are one layer there.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gnp.errors import UserError, unknown_name
from gnp.model.registry import create_model
from gnp.model.weights import Weights, variable_shapes

Arrays = dict[str, np.ndarray]

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
# What timm stores beside weights.
_DERIVED = ("num_batches_tracked", "attn_mask", "relative_position_index")


@dataclasses.dataclass(frozen=True)
class _Family:
    """How a family of ours differs from timm's.

    Attributes:
      layers: pattern of our layer's path -> timm's; the first that matches, else they are equal.
      model_params: the constructor's fields that make our model compute what timm's does, found
        from timm's arrays.
      image_size: the size that timm's arrays were made for, or None if they do not tell.
      head: name of the last layer there.
      splits_qkv: query, key and value are one layer there and three here.
      modernize: turns the names of early files into those of today.
    """

    layers: Mapping[str, str]
    model_params: Callable[[Arrays], dict[str, Any]]
    image_size: Callable[[Arrays], int | None]
    head: str = "head"
    splits_qkv: bool = False
    modernize: Callable[[Arrays], Arrays] = lambda arrays: arrays


def _patch(arrays):
    return arrays["patch_embed.proj.weight"].shape[-1]


def _size_from_positions(num_extra_tokens):
    def size(arrays):
        tokens = arrays["pos_embed"].shape[1] - num_extra_tokens
        return round(tokens**0.5) * _patch(arrays)

    return size


def _vit_params(arrays):
    return {"patches": {"size": _patch(arrays)}, "approximate_gelu": False}


_FAMILIES = {
    "ViT": _Family(
        layers={
            r"patch_embed": "patch_embed.proj",
            r"blocks\.(\d+)\.attention\.out": r"blocks.\1.attn.proj",
            r"blocks\.(\d+)\.attention\.(query|key|value)": r"blocks.\1.attn.\2",
        },
        model_params=_vit_params,
        image_size=_size_from_positions(1),
        splits_qkv=True,
    ),
}


def from_timm(arrays: Arrays, name: str, image_size: int | None = None) -> Weights:
    """Weights of a model that timm made.

    Args:
      arrays: timm's state dictionary.
      name: our model of the same geometry.
      image_size: height and width that the model is for; None: what the arrays tell, or 224.

    Raises:
      UserError: there is no such model in timm, or its arrays are other ones.
    """
    family = _family(name)
    arrays = {key: x for key, x in arrays.items() if key.rpartition(".")[2] not in _DERIVED}
    arrays = family.modernize(arrays)
    if family.splits_qkv:
        arrays = _split_qkv(arrays)
    try:
        num_outputs, channels = _classes(arrays, family), _channels(arrays)
        params = family.model_params(arrays)
        size = family.image_size(arrays) or image_size or 224
    except KeyError as missing:
        raise UserError(
            f"The file has no tensor {missing}, so it is not a {name} of timm with a head; "
            "give the file of a model of the same geometry."
        ) from missing
    image_shape = (size, size, channels)
    shapes = variable_shapes(create_model(name, num_outputs, **params), image_shape)
    return Weights(name, num_outputs, image_shape, params, _to_ours(arrays, shapes, family, name))


def to_timm(weights: Weights) -> Arrays:
    """The state dictionary of timm's model with these weights.

    Raises:
      UserError: there is no such model in timm.
    """
    family = _family(weights.name)
    flat = {}
    for collection in weights.variables.values():
        leaves = traverse_util.flatten_dict(collection, sep=".")
        for path, leaf in leaves.items():
            leaf = np.asarray(leaf)
            flat[_name(path, family)] = _to_torch_layout(path, leaf, leaves)
    return _join_qkv(flat) if family.splits_qkv else flat


def _family(name):
    for prefix, family in _FAMILIES.items():
        if name.startswith(prefix):
            return family
    raise unknown_name("family of models that timm has too", name, _FAMILIES)


def _classes(arrays, family):
    return len(arrays[f"{family.head}.weight"])


def _channels(arrays):
    return next(x for x in arrays.values() if x.ndim == 4).shape[1]


def _to_ours(arrays, shapes, family, name):
    """timm's arrays as a tree of these shapes; every array is used, every leaf is found."""
    left = dict(arrays)
    variables = {}
    for collection, tree in shapes.items():
        leaves = {}
        for path, leaf in traverse_util.flatten_dict(tree, sep=".").items():
            theirs = _name(path, family)
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


def _name(path, family):
    layer, _, leaf = path.rpartition(".")
    for ours, theirs in family.layers.items():
        if re.fullmatch(ours, layer):
            layer = re.sub(ours, theirs, layer)
            break
    return f"{layer}.{_LEAVES.get(leaf, leaf)}".lstrip(".")


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
