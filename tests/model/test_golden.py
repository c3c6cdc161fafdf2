"""Every golden model against the reference: sizes, logits, statistics, gradients."""

import jax
import numpy as np
import pytest

from tests.model.golden_models import NAMES, Computed, golden

# One member of each family runs by default.
DEFAULT = (
    "WideResNet_16_4",
    "WideResNet_2_96_ShakeShake",
    "PyramidNet_164_48_ShakeDrop",
    "ResNet18",
    "VGG16BN",
    "ViT_TI16",
    "Swin_Tiny",
    "CaiT_XXS12",
)
# A batch norm over two images makes this gradient sensitive: in float64 its norm is 2.7e-4 away
# from the file's, which is in float32.
GRADIENT_TOLERANCE = {"ResNet50": 5e-4}


def _marked(name):
    return pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow)


def _having(key):
    return [_marked(name) for name in NAMES if key in golden(name)]


def _assert_close(actual, expected, tolerance=1e-4):
    """Within the tolerance, as a share of the largest expected value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def _sorted_sums(tree):
    return sorted(float(np.sum(np.asarray(leaf, np.float64))) for leaf in jax.tree.leaves(tree))


def _sorted_norms(tree):
    return sorted(
        np.linalg.norm(np.ravel(np.asarray(x, np.float64))) for x in jax.tree.leaves(tree)
    )


@pytest.mark.parametrize("name", NAMES)
def test_parameter_sizes(name):
    params = Computed(name, with_values=False).shapes["params"]
    sizes = sorted(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
    expected = [
        int(np.prod([int(side) for side in shape.split("x")]))
        for shape in golden(name)["param_shapes"].tolist()
    ]
    assert sizes == sorted(expected)
    assert sum(sizes) == golden(name)["param_count"]


@pytest.mark.parametrize("name", [_marked(name) for name in NAMES])
def test_eval_logits(name):
    _assert_close(Computed(name).eval_logits(), golden(name)["eval_logits"])


@pytest.mark.parametrize("name", _having("train_logits"))
def test_train_logits_and_new_statistics(name):
    logits, new = Computed(name).train_logits()
    _assert_close(logits, golden(name)["train_logits"])
    _assert_close(_sorted_sums(new["batch_stats"]), golden(name)["new_batch_stats_sorted_sums"])


@pytest.mark.parametrize("name", _having("grad_norm"))
def test_gradient(name):
    (loss, _), gradient = Computed(name).loss_and_gradient()
    norms = _sorted_norms(gradient)
    tolerance = GRADIENT_TOLERANCE.get(name, 1e-4)
    np.testing.assert_allclose(loss, golden(name)["loss"], rtol=1e-4)
    _assert_close(np.linalg.norm(norms), golden(name)["grad_norm"], tolerance)
    _assert_close(norms, golden(name)["grad_leaf_norms_sorted"], tolerance)
