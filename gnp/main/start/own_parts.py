"""A user's own parts: importing the modules that register them, and trying them before training."""

import hashlib
import importlib
import importlib.util
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gnp.errors import UserError, reason
from gnp.main.config import line_of
from gnp.main.fields.values import shown
from gnp.model import failures, model_names
from gnp.model.weights import variable_shapes
from gnp.training.objective import STREAMS


def import_modules(config: Any) -> None:
    """Imports the modules that a config names, each once, so that what they register is known.

    Each is a Python path such as `my_package.parts`, or a file such as `my_parts.py`.

    Args:
      config: `modules` is a list of them, `model.model_module`, if it is not "", one more.

    Raises:
      UserError: there is no such module, or it fails.
    """
    model_names()  # registers ours, so that a module cannot take the name of one of them
    for name in config.modules:
        if not isinstance(name, str) or not name:
            raise UserError(
                f"modules has {shown(name)}; each is a Python path or a .py file, such as "
                "('my_parts.py',)."
            )
        _import(name, "modules:")
    if config.model.model_module:
        _import(config.model.model_module, "model.model_module")


def _import(name, field):
    file = pathlib.Path(name).absolute()
    try:
        if name.endswith(".py"):
            _import_file(file)
        else:
            importlib.import_module(name)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise UserError(
            f"{field} {shown(name)} cannot be imported ({reason(error)}); give the Python path or "
            "the .py file of a module that registers models or other parts."
        ) from error
    except (Exception, SystemExit) as error:  # whatever the module does
        line = line_of(error, file)
        place = f"line {line}, " if line != "?" else ""
        raise UserError(
            f"{field} {shown(name)} fails ({place}{type(error).__name__}: {reason(error)}); fix "
            "it, or name another."
        ) from error


def _import_file(file):
    # Files of the same name in two folders are two modules.
    folder = hashlib.sha256(str(file.parent).encode()).hexdigest()[:8]
    name = f"gnp_module_{file.stem}_{folder}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def try_model(name: str, model: nn.Module, dataset: Any) -> None:
    """Traces the model as training and evaluation call it.

    Args:
      name: of the model, for the message.
      model: the model.
      dataset: the config's block, which says how large images are and how many classes there are.

    Raises:
      UserError: the model fails, or returns something else than one number for each class.
    """
    image_shape = (dataset.image_size, dataset.image_size, dataset.num_channels)
    variables = variable_shapes(model, image_shape)
    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    rngs = {stream: jax.random.PRNGKey(0) for stream in STREAMS}

    def outputs(variables, images):
        trained, _ = model.apply(variables, images, train=True, mutable=["batch_stats"], rngs=rngs)
        return trained, model.apply(variables, images, train=False)

    with failures.named(name, "trained and evaluated"):
        for logits in jax.eval_shape(outputs, variables, images):
            if logits.shape != (2, dataset.num_classes):
                raise UserError(
                    f"Model {name} returns {logits.shape} for 2 images; it must return one number "
                    f"for each of the {dataset.num_classes} classes, (2, {dataset.num_classes})."
                )
