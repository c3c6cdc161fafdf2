"""Exported models, read back: their logits are those of the models here."""

import functools
import json
import sys

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import export

from gnp.errors import UserError
from gnp.model import create_model
from gnp.model.exported import as_jax, as_onnx, classifier, in_float32
from gnp.model.weights import variable_shapes
from tests.golden import fill
from tests.model.golden_models import filled

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
SHAPE = (32, 32, 3)
CLASSES = ("a", "b", "c")

# One small model of each family.
MODELS = {
    "ViT_Micro": {"patches": {"size": 8}},
    "Swin_Tiny": {"depths": (2, 1), "num_heads": (2, 4), "embed_dim": 16},
    "CaiT_XXS12": {"depth": 1, "class_depth": 1, "embed_dim": 16, "num_heads": 2, "patch_size": 8},
    "ResNet18": {"depths": (2, 2), "widths": (8, 16), "stem": "cifar"},
    "ResNet34": {"depths": (1, 1), "widths": (4, 8), "stem": "imagenet"},
    "ResNet50": {"depths": (1, 1), "widths": (4, 8)},
    "WideResNet_10_1": {},
    "VGG16BN": {"depths": (1, 1), "widths": (4, 8), "dense_width": 8},
    "PyramidNetBase": {"pyramid_depth": 11, "pyramid_alpha": 12},
}


def model_of(name, **fields):
    model = create_model(name, 3, **MODELS[name], **fields)
    variables = jax.tree.map(lambda x: 0.3 * x, filled(variable_shapes(model, SHAPE)))
    return model, variables


def images(count):
    return 127.5 * (1 + np.clip(fill.images(count, SHAPE[0]), -1, 1))


def expected(model, variables, images):
    """Normalized the long way."""
    inputs = (images / 255 - np.float32(MEAN)) / np.float32(STD)
    return jax.jit(functools.partial(model.apply, train=False))(variables, inputs)


@pytest.mark.parametrize("name", MODELS)
def test_jax_reads_it_for_any_number_of_images(name):
    model, variables = model_of(name)
    data = as_jax(classifier(model, variables, MEAN, STD), SHAPE)
    call = export.deserialize(bytearray(data)).call
    for count in (1, 3):
        logits = call(images(count))
        assert logits.dtype == np.float32
        np.testing.assert_allclose(
            logits, expected(model, variables, images(count)), rtol=1e-4, atol=1e-5
        )


def run_onnx(data, images):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images})
    return session, logits


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_reads_it_for_any_number_of_images(name):
    pytest.importorskip("jax2onnx", reason="needs the extra onnx")
    model, variables = model_of(name)
    data = as_onnx(classifier(model, variables, MEAN, STD), SHAPE, CLASSES)
    for count in (1, 3):
        session, logits = run_onnx(data, images(count))
        ours = expected(model, variables, images(count))
        np.testing.assert_allclose(logits, ours, atol=1e-4 * np.abs(ours).max(), rtol=0)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(CLASSES)


def test_a_scanned_model_in_bfloat16_becomes_plain_float32():
    model, variables = model_of("ViT_Micro", scan_layers=True, dtype="bfloat16")
    plain, plain_variables = in_float32(model, variables)
    assert (plain.scan_layers, plain.dtype) == (False, None)
    np.testing.assert_allclose(
        expected(plain, plain_variables, images(2)),
        expected(model, variables, images(2)),
        atol=0.05,
    )


class CountsImages(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(3)(x.reshape(len(x), -1))


def test_a_model_for_one_number_of_images_is_refused():
    variables = CountsImages().init(jax.random.key(0), images(1), train=False)
    function = classifier(CountsImages(), variables, MEAN, STD)
    with pytest.raises(UserError, match=r"^jax\.export cannot take the model .*len\(x\)\.$"):
        as_jax(function, SHAPE)


def test_a_model_that_the_converter_gets_wrong_is_refused(monkeypatch):
    """A conversion that computes something else must not leave here."""
    jax2onnx = pytest.importorskip("jax2onnx", reason="needs the extra onnx")
    right = jax2onnx.to_onnx
    monkeypatch.setattr(
        jax2onnx,
        "to_onnx",
        lambda function, *args, **kw: right(lambda x: function(-x), *args, **kw),
    )
    model, variables = model_of("VGG16BN")
    with pytest.raises(UserError, match="has converted the model wrongly"):
        as_onnx(classifier(model, variables, MEAN, STD), SHAPE, CLASSES)


def test_without_the_converter_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r'install it with pip install "gnp-jax\[onnx\]"'):
        as_onnx(lambda x: x, SHAPE, CLASSES)
