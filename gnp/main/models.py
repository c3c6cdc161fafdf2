"""Lists the registered models, or shows one of them layer by layer.

python -m gnp.main.models [--image_size=32] [--num_channels=3] [--num_classes=10] [--name=ViT_S16]
                          [--config.model.model_params.patches.size=8]
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from gnp.errors import UserError
from gnp.main import app
from gnp.main.config import load_config, overrides
from gnp.model import create_model, model_names
from gnp.model.size import measure

_NAME = flags.DEFINE_string("name", None, "Show this model layer by layer.")
_DEPTH = flags.DEFINE_integer(
    "depth", None, "Levels of modules that --name shows; all if not given."
)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 32, "Height and width, in pixels.", lower_bound=1)
_NUM_CHANNELS = flags.DEFINE_integer("num_channels", 3, "Channels of an image.", lower_bound=1)
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 10, "Number of classes.", lower_bound=1)

_MODEL_PARAMS = "model.model_params."


def main() -> None:
    """Prints what the flags ask for."""
    image_shape = (_IMAGE_SIZE.value, _IMAGE_SIZE.value, _NUM_CHANNELS.value)
    params = model_params(overrides())
    if _NAME.value:
        print(layers(_NAME.value, image_shape, _NUM_CLASSES.value, params))
    else:
        print_table(image_shape, _NUM_CLASSES.value, params)


def model_params(fields: list[str]) -> dict[str, Any]:
    """Fields of the models' constructors, from overrides of a config.

    Args:
      fields: such as `model.model_params.patches.size=8`.

    Raises:
      UserError: a field is another one of the config.
    """
    for field in fields:
        if not field.startswith(_MODEL_PARAMS):
            raise UserError(
                f"--config.{field} says nothing about a model's size; of a config's fields, this "
                f"command takes those of {_MODEL_PARAMS.strip('.')}."
            )
    return load_config("config/base.py", fields).model.model_params.to_dict()


def print_table(
    image_shape: tuple[int, int, int], num_classes: int, params: Mapping[str, Any]
) -> None:
    """Prints name, parameters, multiply-adds and layers of every model, row by row.

    A model that does not take such images or such fields has the reason in its row.
    """
    print(f"{'name':<28}{'parameters':>14}{'multiply-adds':>18}{'layers':>8}")
    for name in model_names():
        print(f"{name:<28}{_row(name, image_shape, num_classes, params)}", flush=True)


def _row(name, image_shape, num_classes, params):
    try:
        size = measure(create_model(name, num_classes, **params), image_shape)
    except UserError as reason:
        return f"  {reason}"
    return f"{size.parameters:>14,}{size.multiply_adds:>18,}{size.layers:>8}"


def layers(
    name: str, image_shape: tuple[int, int, int], num_classes: int, params: Mapping[str, Any]
) -> str:
    """Flax's table of a model: each module with its output and parameters.

    Raises:
      UserError: there is no such model, or it does not take such images or fields.
    """
    model = create_model(name, num_classes, **params)
    return model.tabulate(
        jax.random.key(0),
        jnp.zeros((1, *image_shape)),
        train=False,
        depth=_DEPTH.value,
        console_kwargs={"width": 160, "force_terminal": False},
    )


if __name__ == "__main__":
    app.run(main)
