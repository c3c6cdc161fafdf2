"""Every registered model and its number of parameters, found by tracing alone."""

import jax
import numpy as np
import pytest

from gnp.model import create_model, model_names
from tests.model.golden_models import shapes

# For 10 classes at 32x32x3.
PARAMETERS = {
    "WideResNet_10_1": 75_290,
    "WideResNet_16_4": 2_706_906,
    "WideResNet_28_10": 36_220_634,
    "WideResNet_40_10": 55_583_194,
}


def test_every_registered_model_is_in_the_table():
    assert sorted(PARAMETERS) == model_names()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    params = shapes(create_model(name, num_outputs=10), 32)["params"]
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)) == PARAMETERS[name]
