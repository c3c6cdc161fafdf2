"""Swin transformers: windows, shifts, padding, merging, fields, initialization."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnp.model import create_model
from gnp.model.swin import PatchMerging, SwinBlock


def block(window, shifted, num_heads=2, pad_after_shift=False):
    return SwinBlock(
        num_heads=num_heads,
        window=window,
        shifted=shifted,
        pad_after_shift=pad_after_shift,
        mlp_ratio=2.0,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        approximate_gelu=True,
        norm_epsilon=1e-5,
        dtype=None,
    )


def attend_pair_by_pair(params, x, window, shift):
    """Attention over all tokens at once, those of other windows masked out."""
    height, width, channels = x.shape
    size = (-(-height // window) * window, -(-width // window) * window)
    tokens = np.zeros((*size, channels), np.float32)
    tokens[:height, :width] = x
    place = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, 2)
    window_of = (place - shift) % size // window
    rolled = place < shift  # these wrap around to the far side
    together = (window_of[:, None] == window_of).all(-1) & (rolled[:, None] == rolled).all(-1)
    offset = place[:, None] % size - place
    row, column = np.where(together[..., None], offset, 0).transpose(2, 0, 1) + window - 1
    bias = params["relative_position_bias_table"][row * (2 * window - 1) + column]
    qkv = tokens.reshape(-1, channels) @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    heads = bias.shape[-1]
    query, key, value = qkv.reshape(-1, 3, heads, channels // heads).transpose(1, 2, 0, 3)
    logits = query @ key.swapaxes(1, 2) / np.sqrt(channels // heads) + bias.transpose(2, 0, 1)
    weights = jax.nn.softmax(np.where(together, logits, -np.inf))
    y = (weights @ value).transpose(1, 0, 2).reshape(*size, channels)
    y = y @ params["proj"]["kernel"] + params["proj"]["bias"]
    return y[:height, :width]


@pytest.mark.parametrize("size", [(8, 8), (5, 6), (9, 4)])
@pytest.mark.parametrize(
    ("shifted", "pad_after_shift"), [(False, False), (True, False), (True, True)]
)
def test_windows_with_shift_and_padding(size, shifted, pad_after_shift):
    layer = block(window=4, shifted=shifted, pad_after_shift=pad_after_shift)
    draws = np.random.default_rng(0)
    x = draws.standard_normal((1, *size, 6), np.float32)
    params = jax.jit(layer.init, static_argnums=3)(jax.random.key(0), x, None, False)["params"]
    params = jax.tree.map(lambda p: p + 0.3 * draws.standard_normal(p.shape, np.float32), params)
    params["mlp"] = jax.tree.map(np.zeros_like, params["mlp"])  # leaves the attention alone
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    normed = normed * params["norm1"]["scale"] + params["norm1"]["bias"]
    shift = np.array([2 if shifted and side > 4 else 0 for side in size])
    attention = jax.tree.map(np.asarray, params["attention"])
    if pad_after_shift:  # the same with the zeros where the shift leaves them
        rolled = np.roll(normed[0], -shift, axis=(0, 1))
        padded = np.pad(rolled, [*((0, -side % 4) for side in size), (0, 0)])
        branch = attend_pair_by_pair(attention, np.roll(padded, shift, axis=(0, 1)), 4, shift)
        branch = np.roll(branch, -shift, axis=(0, 1))[: size[0], : size[1]]
        expected = x[0] + np.roll(branch, shift, axis=(0, 1))
    else:
        expected = x[0] + attend_pair_by_pair(attention, normed[0], 4, shift)
    actual = layer.apply({"params": params}, x, None, False)[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_sides_no_longer_than_the_window_are_one_window():
    x = jnp.zeros((1, 3, 5, 6))
    params = jax.eval_shape(
        functools.partial(block(4, True).init, train=False), jax.random.key(0), x, None
    )["params"]
    table = params["attention"]["relative_position_bias_table"]
    assert table.shape == ((2 * 3 - 1) * (2 * 4 - 1), 2)


def test_order_of_merged_neighbours():
    x = np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3, 1)  # the odd side gets a zero column
    layer = PatchMerging(norm_epsilon=0.0, dtype=None)
    params = {"norm": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}}
    params["reduction"] = {"kernel": jnp.eye(4)[:, :2]}
    first = layer.apply({"params": params}, x)[0, 0]
    params["reduction"] = {"kernel": jnp.eye(4)[:, 2:]}
    second = layer.apply({"params": params}, x)[0, 0]
    merged = np.array([[1, 4, 2, 5], [3, 6, 0, 0]], np.float32)  # down first, then right
    expected = merged - merged.mean(1, keepdims=True)
    expected /= merged.std(1, keepdims=True)
    np.testing.assert_allclose(np.concatenate([first, second], 1), expected, atol=1e-5)


def test_initialization():
    model = create_model(
        "Swin_Tiny", 10, embed_dim=64, depths=(2, 1), num_heads=(4, 4), window_size=8
    )
    init = jax.jit(functools.partial(model.init, train=False))
    params = init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    table = params["stage0_block1"]["attention"]["relative_position_bias_table"]
    np.testing.assert_allclose(np.std(table), 0.02, rtol=0.1)
    assert np.abs(table).max() < 0.05
    kernel = params["patch_embed"]["kernel"]  # 2x2x3 in, 64 channels out
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (4 * (3 + 64))), rtol=0.1)
    np.testing.assert_allclose(np.std(params["head"]["kernel"]), np.sqrt(1 / 128), rtol=0.1)
    assert not params["head"]["bias"].any()
    assert "bias" not in params["merging1"]["reduction"]
