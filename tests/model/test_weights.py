"""Files of weights: what is read back, and what is refused."""

import json

import numpy as np
import pytest

from gnp.errors import UserError
from gnp.model.weights import Weights, load_weights, save_weights

ABOUT = {"name": "ViT_Micro", "num_outputs": 2, "image_shape": [8, 8, 1], "model_params": {}}


@pytest.mark.parametrize("class_names", [None, ["a", "b"]])
def test_what_is_saved_is_loaded(tmp_path, class_names):
    variables = {"params": {"head": {"bias": np.arange(3.0)}}}
    saved = Weights("ViT_Micro", 2, (8, 8, 1), {"depth": 1}, variables, class_names)
    save_weights(tmp_path / "x.npz", saved)
    loaded = load_weights(tmp_path / "x.npz")
    np.testing.assert_array_equal(loaded.variables["params"]["head"]["bias"], np.arange(3.0))
    for field in ("name", "num_outputs", "image_shape", "model_params", "class_names"):
        assert getattr(loaded, field) == getattr(saved, field)


@pytest.mark.parametrize(
    ("about", "arrays"),
    [
        (ABOUT | {"name": 3}, {}),
        (ABOUT | {"num_outputs": "2"}, {}),
        (ABOUT | {"image_shape": [8, 8]}, {}),
        (ABOUT | {"image_shape": 8}, {}),
        (ABOUT | {"image_shape": [8.5, 8, 1]}, {}),
        (ABOUT | {"model_params": [1]}, {}),
        (ABOUT | {"class_names": "ab"}, {}),
        (ABOUT | {"class_names": [1, 2]}, {}),
        (ABOUT | {"other": 1}, {}),
        ([1], {}),
        (None, {}),
        (ABOUT, {"params": np.ones(2)}),
        (ABOUT, {"params/a": np.ones(2), "params/a/b": np.ones(2)}),
        (ABOUT, {"params/a": np.array(["text"])}),
        (ABOUT, {"other": np.ones(2)}),
    ],
    ids=str,
)
def test_a_file_of_other_types_is_refused(tmp_path, about, arrays):
    arrays = arrays or {"params/a": np.ones(2)}
    np.savez(tmp_path / "x.npz", about=json.dumps(about), **arrays)
    with pytest.raises(UserError, match=r"x\.npz is not a file of weights \("):
        load_weights(tmp_path / "x.npz")


@pytest.mark.parametrize("about", ["[" * 100_000, "", "\0", "1e999"], ids=lambda text: text[:5])
def test_a_file_about_nothing_is_refused(tmp_path, about):
    np.savez(tmp_path / "x.npz", about=about, **{"params/a": np.ones(2)})
    with pytest.raises(UserError, match=r"x\.npz is not a file of weights \("):
        load_weights(tmp_path / "x.npz")
