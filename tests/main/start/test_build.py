"""What a config names, built."""

import pytest

from gnp.errors import UserError
from gnp.main.config import load_config
from gnp.main.start.build import build_model


def test_the_number_of_classes_is_no_parameter_of_the_model():
    config = load_config("config/digits.py", ("model.model_params.num_outputs=3",))
    with pytest.raises(UserError, match=r"num_outputs is 3, but .*; set dataset\.num_classes\.$"):
        build_model(config)
