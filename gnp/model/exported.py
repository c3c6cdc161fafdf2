"""A trained model in formats that run without this project.

An exported model takes images as they are, and normalizes them itself. It computes logits.
"""

import contextlib
import importlib
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import export

from gnp.errors import UserError, missing_library, reason
from gnp.model.scanned_blocks import in_plain_layers

Classifier = Callable[[jax.Array], jax.Array]

# What a file of jax.export can run on.
_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")

# How far the logits of an ONNX file may be from ours, relative to the largest.
_TOLERANCE = 1e-3


def classifier(
    model: nn.Module, variables: Mapping[str, Any], mean: Sequence[float], std: Sequence[float]
) -> Classifier:
    """The logits of images as a function of the images alone.

    Args:
      model: called as `model.apply(variables, inputs, train=False)`.
      variables: its `params` and `batch_stats`.
      mean, std: normalization constants per channel, on the scale 0 to 1.

    Returns:
      A function of images x height x width x channels, float32 from 0 to 255. It returns float32,
      images x classes.
    """
    mean, std = (np.asarray(constants, np.float32) for constants in (mean, std))

    def logits(images):
        inputs = images * (1 / (255 * std)) - mean / std
        return model.apply(variables, inputs, train=False).astype(jnp.float32)

    return logits


def as_jax(function: Classifier, image_shape: tuple[int, int, int]) -> bytes:
    """A classifier in the format of `jax.export`, for any number of images and any device.

        jax.export.deserialize(data).call(images)

    Args:
      function: from `classifier`.
      image_shape: height, width and channels.

    Raises:
      UserError: the model depends on the number of images.
    """
    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *image_shape), jnp.float32)
    try:
        exported = export.export(jax.jit(function), platforms=_PLATFORMS)(images)
    except Exception as error:  # whatever a user's model raises
        raise UserError(
            f"jax.export cannot take the model ({reason(error)}); it must work for any number of "
            "images, so write x.shape[0] in the place of len(x)."
        ) from error
    return bytes(exported.serialize())


def in_float32(
    model: nn.Module, variables: Mapping[str, Any]
) -> tuple[nn.Module, Mapping[str, Any]]:
    """The same model and variables in the form that `as_onnx` takes: plain layers, in float32."""
    model, params = in_plain_layers(model, variables["params"])
    if getattr(model, "dtype", None) is not None:
        model = model.clone(dtype=None)
    return model, {**variables, "params": params}


def as_onnx(
    function: Classifier, image_shape: tuple[int, int, int], class_names: Sequence[str]
) -> bytes:
    """A classifier as an ONNX model with the input `images` and the output `logits`.

    The names of the classes are in its metadata, `classes`, as JSON. It is computed once and
    compared with the function before it is returned.

    Args:
      function: from `classifier`, of a model of `in_float32`.
      image_shape: height, width and channels.
      class_names: in the order of the logits.

    Raises:
      UserError: the converter is not installed, cannot convert the model, or gets it wrong.
    """
    # The converter logs what it cannot import itself, and what the last lines here take care of.
    for name in ("jax2onnx", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    jax2onnx, onnx, runtime = map(_onnx_library, ("jax2onnx", "onnx", "onnxruntime"))
    images = np.random.default_rng(0).uniform(0, 255, (2, *image_shape)).astype(np.float32)
    try:
        # The converter prints what it traces, and cannot read jitted functions of jax 0.12.
        with contextlib.redirect_stdout(io.StringIO()), jax.disable_jit():
            converted = jax2onnx.to_onnx(
                function,
                [("batch", *image_shape)],
                model_name="classifier",
                input_names=["images"],
                output_names=["logits"],
            )
        # Shapes within the graph are hints; the converter keeps some of before it moved axes.
        del converted.graph.value_info[:]
        onnx.helper.set_model_props(converted, {"classes": json.dumps(list(class_names))})
        data = converted.SerializeToString()
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (computed,) = session.run(["logits"], {"images": images})
    except Exception as error:  # the converter and the runtime raise many types
        raise UserError(
            f"jax2onnx cannot convert the model ({reason(error)}); use --format=jax."
        ) from error
    expected = np.asarray(function(images))
    difference = np.abs(computed - expected).max() / np.abs(expected).max()
    if not difference <= _TOLERANCE:
        raise UserError(
            f"jax2onnx has converted the model wrongly (its logits are off by {difference:.1g} of "
            "the largest); use --format=jax."
        )
    return data


def _onnx_library(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        what = "--format=onnx"
        raise missing_library(what, error.name, "onnx", error, "use --format=jax") from error
