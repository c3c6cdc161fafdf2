"""Position embeddings, bias tables and patch kernels for other sizes: the same as timm makes."""

import functools

import jax
import numpy as np
import pytest

from gnp.model import create_model
from gnp.model.resized import resized
from gnp.model.timm_weights import from_timm
from gnp.model.transfer import head_parameters, take_variables
from gnp.model.weights import variable_shapes
from tests.golden import fill


def wave(*shape):
    return np.cos(np.arange(np.prod(shape)) ** 1.5).astype(np.float32).reshape(shape)


# Computed with timm 1.0.31 and torch 2.13.
GOLDEN = [
    ("pos_embed", (1, 10, 1), (1, 5, 1), [1.0, -0.0382277, -0.1414440, 0.2044865, -0.4528742]),
    (
        "pos_embed",
        (1, 4, 1),
        (1, 9, 1),
        [
            1.1667427,
            0.8368139,
            0.5068850,
            -0.0071545,
            0.2635133,
            0.5341812,
            -1.1810522,
            -0.3097875,
            0.5614775,
        ],
    ),
    (
        "attention/relative_position_bias_table",
        (25, 1),
        (9, 1),
        [
            0.4223107,
            -0.1134135,
            -0.1820903,
            0.4299922,
            -0.1176667,
            -0.4247257,
            0.0231500,
            -0.2555395,
            -0.0846931,
        ],
    ),
    (
        "patch_embed/kernel",
        (3, 3, 1, 1),
        (2, 2, 1, 1),
        [2.2526968, -1.1971068, -0.0734735, -8.61e-4],
    ),
    (
        "patch_embed/kernel",
        (2, 2, 1, 1),
        (3, 3, 1, 1),
        [
            0.6409859,
            0.4156013,
            0.1902166,
            -0.0238040,
            0.1171170,
            0.2580380,
            -0.6885939,
            -0.1813673,
            0.3258595,
        ],
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "expected"), GOLDEN)
def test_as_timm_resizes(name, old, new, expected):
    array = resized(f"params/{name}", wave(*old), new)
    assert array.shape == new
    np.testing.assert_allclose(array.ravel(), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pos_embed", (1, 10, 4), (1, 5, 8)),  # another width
        ("pos_embed", (1, 10, 4), (1, 7, 4)),  # no square
        ("pos_embed", (1, 10, 4), (1, 4, 4)),  # a class token in one alone
        ("relative_position_bias_table", (25, 2), (9, 3)),  # other heads
        ("patch_embed/kernel", (4, 4, 3, 8), (2, 2, 1, 8)),  # other channels
        ("blocks/0/mlp/fc1/kernel", (4, 8), (4, 16)),
        ("pos_embed", (10, 4), (1, 5, 4)),
    ],
)
def test_what_is_of_another_model_is_not_resized(name, old, new):
    assert resized(f"params/{name}", wave(*old), new) is None


def test_a_smooth_image_of_tokens_stays_the_same_image():
    rows = np.linspace(-1, 1, 8)[:, None, None] * np.ones((8, 8, 1))
    small = resized("params/pos_embed", rows.reshape(1, 64, 1), (1, 16, 1)).reshape(4, 4)
    expected = rows.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(small[1:-1], expected[1:-1], atol=0.02)


# timm's name for 224 pixels, ours, and how each is made for 64 pixels and three classes.
TWINS = [
    ("vit_tiny_patch16_224", "ViT_TI16", {}, {"patches": {"size": 16}}),
    ("vit_tiny_patch16_224", "ViT_TI16", {"patch_size": 8}, {"patches": {"size": 8}}),
]


def _timm():
    pytest.importorskip("torch")
    return pytest.importorskip("timm")


@pytest.mark.slow
@pytest.mark.parametrize(("theirs", "ours", "changed", "params"), TWINS)
def test_features_are_those_of_timm_s_own_resize(theirs, ours, changed, params):
    timm, torch = _timm(), pytest.importorskip("torch")
    from timm.models.vision_transformer import checkpoint_filter_fn

    torch.manual_seed(0)
    large = timm.create_model(theirs, num_classes=10).eval()
    small = timm.create_model(theirs, num_classes=3, img_size=64, **changed).eval()
    state = checkpoint_filter_fn(
        dict(large.state_dict()), small, interpolation="bicubic", antialias=True
    )
    head = {name: x for name, x in small.state_dict().items() if name.startswith("head.")}
    small.load_state_dict(state | head)

    given = from_timm({name: x.numpy() for name, x in large.state_dict().items()}, ours)
    model = create_model(ours, 3, approximate_gelu=False, **params)
    fresh = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), variable_shapes(model, (64, 64, 3)))
    taken = take_variables(
        fresh, given.variables, head_parameters(model, (64, 64, 3)), "X", resizes=True
    )
    assert taken.left_fresh == ["params/head/bias", "params/head/kernel"]
    # The identity in the place of the head shows what comes before it.
    variables = taken.variables
    variables["params"]["head"] = {
        "kernel": np.eye(192, dtype=np.float32),
        "bias": np.zeros(192, np.float32),
    }
    images = fill.images(2, 64)
    wide = create_model(ours, 192, approximate_gelu=False, **params)
    features = jax.jit(functools.partial(wide.apply, train=False))(variables, images)
    with torch.no_grad():
        tokens = small.forward_features(torch.from_numpy(images).permute(0, 3, 1, 2))
        expected = small.forward_head(tokens, pre_logits=True).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), [(7, 4), (4, 7), (7, 12)])
def test_tables_and_positions_are_those_of_timm_s_functions(old, new):
    timm, torch = _timm(), pytest.importorskip("torch")
    from timm.layers.pos_embed_rel import resize_rel_pos_bias_table_levit

    table = wave((2 * old - 1) ** 2, 3)
    rows = (2 * new - 1) ** 2
    expected = resize_rel_pos_bias_table_levit(torch.from_numpy(table), (rows, 3)).numpy()
    ours = resized("params/x/relative_position_bias_table", table, (rows, 3))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    positions = wave(1, old**2, 6)  # as in CaiT, without a class token
    expected = timm.layers.resample_abs_pos_embed(
        torch.from_numpy(positions), (new, new), num_prefix_tokens=0
    ).numpy()
    ours = resized("params/pos_embed", positions, (1, new**2, 6))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
