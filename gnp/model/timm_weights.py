"""Conversion of weights from and to timm (huggingface/pytorch-image-models).

Layers here and in timm differ in their names and layouts: dense kernels are transposed and may have
axes split over heads, convolution kernels have another order of axes, and timm's ViT has one layer
for query, key and value. Converted models compute the same logits.
"""

import functools
import re

import numpy as np
from flax import traverse_util

from gnp.errors import UserError, unknown_name
from gnp.model.registry import create_model
from gnp.model.scanned_blocks import unstack_params
from gnp.model.timm_families import FAMILIES, Arrays
from gnp.model.weights import Weights, variable_shapes

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
# Entries of timm's state dictionaries that are not weights.
_DERIVED = ("num_batches_tracked", "attn_mask", "relative_position_index")


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


def is_of_timm(weights: Weights) -> bool:
    """Whether the model is of a family that timm has too."""
    is_ours = type(weights.model()).__module__.startswith("gnp.model.")
    return is_ours and weights.name.startswith(tuple(FAMILIES))


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
    for prefix, family in FAMILIES.items():
        if name.startswith(prefix):
            return family
    raise unknown_name("family of models that timm has too", name, FAMILIES)


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
