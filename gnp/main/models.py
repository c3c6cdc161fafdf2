"""Lists the registered models, or prints the layers of one model.

python -m gnp.main.models [--image_size=32] [--num_channels=3] [--num_classes=10] [--name=ViT_S16]
                          [--config.model.model_params.patches.size=8]
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from flax import linen as nn

from gnp.errors import UserError
from gnp.main import app
from gnp.main.config import load_config, overrides
from gnp.main.start.build import model_params
from gnp.model import create_model, failures, model_names
from gnp.model.size import KEPT_CLASSES, KEPT_IMAGE_SHAPE, kept_sizes, measure

_MODEL_PARAMS = "model.model_params."


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("name", None, "Print the layers of this model.")
    flags.DEFINE_integer(
        "depth", None, "Levels of modules that --name prints; all if not given.", lower_bound=1
    )
    for name, default, meaning, largest in (
        ("image_size", KEPT_IMAGE_SHAPE[0], "Height and width, in pixels.", 4096),
        ("num_channels", KEPT_IMAGE_SHAPE[2], "Channels of an image.", 1024),
        ("num_classes", KEPT_CLASSES, "Number of classes.", 10**6),
    ):
        flags.DEFINE_integer(name, default, meaning, lower_bound=1, upper_bound=largest)


def main() -> None:
    """Prints the table, or the layers of the model that the flags name."""
    values = flags.FLAGS
    image_shape = (values.image_size, values.image_size, values.num_channels)
    params = params_of_flags(overrides())
    if values.name:
        model = create_model(values.name, values.num_classes, **params)
        print(layers(model, image_shape, values.depth))
    else:
        print_table(image_shape, values.num_classes, params)


def params_of_flags(fields: list[str]) -> dict[str, Any]:
    """The arguments of a model's constructor, from overrides of a config.

    Args:
      fields: such as `model.model_params.patches.size=8`.

    Raises:
      UserError: a field is not one of `model.model_params`.
    """
    for field in fields:
        if not f"{field.partition('=')[0]}.".startswith(_MODEL_PARAMS):
            raise UserError(
                f"--config.{field} does not change a model's size; this command takes only fields "
                f"of {_MODEL_PARAMS.strip('.')}."
            )
    return model_params(load_config("config/base.py", fields).to_dict())


def print_table(
    image_shape: tuple[int, int, int], num_classes: int, params: Mapping[str, Any]
) -> None:
    """Prints the name, parameters, multiply-adds and layers of each model.

    If a model does not take such images or such arguments, its row has the reason.
    """
    print(f"{'name':<28}{'parameters':>14}{'multiply-adds':>18}{'layers':>8}")
    for name in model_names():
        print(f"{name:<28}{_row(name, image_shape, num_classes, params)}", flush=True)


def _row(name, image_shape, num_classes, params):
    try:
        size = _size(name, image_shape, num_classes, params)
    except UserError as reason:
        return f"  {reason}"
    return f"{size.parameters:>14,}{size.multiply_adds:>18,}{size.layers:>8}"


def _size(name, image_shape, num_classes, params):
    is_kept = (image_shape, num_classes, params) == (KEPT_IMAGE_SHAPE, KEPT_CLASSES, {})
    if is_kept and name in kept_sizes():
        return kept_sizes()[name]
    return measure(create_model(name, num_classes, **params), image_shape)


def layers(model: nn.Module, image_shape: tuple[int, int, int], depth: int | None) -> str:
    """Flax's table of a model: each module with its output and parameters.

    Args:
      model: from `create_model`.
      image_shape: height, width and channels.
      depth: levels of modules; None: all.

    Raises:
      UserError: the model does not take such images.
    """
    with failures.named(type(model).__name__, f"applied to images of {image_shape}"):
        return model.tabulate(
            jax.random.key(0),
            jnp.zeros((1, *image_shape)),
            train=False,
            depth=depth,
            console_kwargs={"width": 160, "force_terminal": False},
        )


if __name__ == "__main__":
    app.run(main, define_flags)
