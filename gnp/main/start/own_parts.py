"""A user's own parts: importing the modules that register them, and trying them before training."""

import contextlib
import hashlib
import importlib
import importlib.util
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from gnp.errors import UserError, reason
from gnp.main.config import line_of
from gnp.main.fields.values import shown
from gnp.model import failures, model_names
from gnp.model.weights import variable_shapes
from gnp.optimizer.optimizers import SCHEDULE_FREE, optimizer_named
from gnp.registering import undone_if_it_fails
from gnp.training import freeze
from gnp.training.loss import loss_function
from gnp.training.objective import STREAMS
from gnp.training.settings.run import Settings


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
        with undone_if_it_fails(), _neighbours_importable(file):
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


@contextlib.contextmanager
def _neighbours_importable(file):
    """Lets a file import its neighbours, and a Python path start in the current folder."""
    before = list(sys.path)
    sys.path[:0] = [str(file.parent)]
    try:
        yield
    finally:
        sys.path[:] = before


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


def try_parts(config: Any, settings: Settings, model: nn.Module) -> None:
    """Traces a registered loss and a registered optimizer as training calls them.

    Args:
      config: the resolved config, whose number of classes is set.
      settings: of it.
      model: of it.

    Raises:
      UserError: one of them fails, or returns something else than training needs.
    """
    if not is_ours(loss_function(config.loss)):
        _try_loss(config.loss, settings.loss.image_loss, config.dataset.num_classes)
    if not is_ours(optimizer_named(config.opt.opt_type)):
        size, channels = config.dataset.image_size, config.dataset.num_channels
        params = variable_shapes(model, (size, size, channels))["params"]
        trained, _ = freeze.split(params, config.opt.freeze)
        _try_optimizer(config.opt.opt_type, settings.optimizer.transformation, trained)


def is_ours(part: Any) -> bool:
    """Whether a function or a class is one of the package."""
    return getattr(part, "__module__", "").startswith("gnp.")


def _try_loss(name, image_loss, num_classes):
    both = jax.ShapeDtypeStruct((2, num_classes), jnp.float32)
    with _naming_failures("loss", name):
        found = jax.eval_shape(image_loss, both, both)
    is_number = jnp.issubdtype(getattr(found, "dtype", jnp.int32), jnp.floating)
    if getattr(found, "shape", None) != (2,) or not is_number:
        raise UserError(
            f"The loss {name} returns {_shape(found)} for 2 images; it must return one real number "
            "for each image, float32 of the shape (2,)."
        )


def _try_optimizer(name, optimizer, params):
    with _naming_failures("optimizer", name):
        state = jax.eval_shape(optimizer.init, params)
        updates, later = jax.eval_shape(optimizer.update, params, state, params)
    parts = jax.tree.leaves(state, is_leaf=_is_schedule_free)
    if any(map(_is_schedule_free, parts)):
        raise UserError(f"The optimizer {name} {SCHEDULE_FREE}")
    for what, before, after in (("updates", params, updates), ("a state", state, later)):
        if _shapes(before) != _shapes(after):
            raise UserError(
                f"The optimizer {name} returns {what} of another structure, other shapes or other "
                "types than it got; it must keep them."
            )


def _is_schedule_free(part):
    return isinstance(part, optax.contrib.ScheduleFreeState)


def _shapes(tree):
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _shape(found):
    if not hasattr(found, "shape"):
        return reason(repr(found))
    return f"{found.dtype} of the shape {found.shape}"


@contextlib.contextmanager
def _naming_failures(kind, name):
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # what users register may raise anything
        raise UserError(
            f"The {kind} {name} fails ({failures.place(error)}{type(error).__name__}: "
            f"{reason(error).rstrip('.')}); fix it, or name another."
        ) from error
