"""Registry of models by name."""

import importlib
import inspect
from collections.abc import Callable

from flax import linen as nn

from gnp.errors import UserError, unknown_name
from gnp.model import failures
from gnp.model.field_checks import check_fields
from gnp.registering import registering

# One module per family; importing it registers the models of the family.
_FAMILIES = ("wide_resnet", "resnet", "vgg", "pyramidnet", "shake_shake", "vit", "swin", "cait")

_factories: dict[str, Callable[..., nn.Module]] = {}


def register_model(name: str) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Registers a module class or a factory under a name and returns it unchanged.

    >>> @gnp.register_model("Linear")
    ... class Linear(nn.Module):
    ...     num_outputs: int
    ...
    ...     @nn.compact
    ...     def __call__(self, inputs, train):
    ...         return nn.Dense(self.num_outputs)(inputs.reshape(len(inputs), -1))
    ...
    >>> create_model("Linear", num_outputs=10).num_outputs
    10

    The factory is called as `factory(num_outputs=..., **model_params)`. It returns a module that is
    called as `module(inputs, train=bool)` with inputs of batch x height x width x channels. If its
    `__call__` has an argument `true_gradient`, the first pass of a penalized step sets it to True.

    Raises:
      UserError: the name is registered already.
    """
    return registering(_factories, "model", name)


# The reference's name, so that models written for the reference work unchanged.
_register_model = register_model


def model_names() -> list[str]:
    """The names of all registered models, sorted.

    >>> "WideResNet_28_10" in model_names()
    True
    """
    _load_families()
    return sorted(_factories)


def create_model(name: str, /, num_outputs: int, **model_params) -> nn.Module:
    """Creates a registered model.

    >>> model = create_model("WideResNet_28_10", num_outputs=10)
    >>> model.num_outputs
    10

    Args:
      name: a name of `model_names()`.
      num_outputs: number of classes.
      **model_params: fields of the model's constructor.

    Raises:
      UserError: the name or a field is unknown, a field without default is missing, a value is
        invalid, or the constructor fails.
    """
    _load_families()
    if name not in _factories:
        raise unknown_name("model", name, _factories)
    factory = _factories[name]
    _check_names(name, factory, model_params)
    with failures.named(name, "created"):
        model = factory(num_outputs=num_outputs, **model_params)
        check_fields(name, model)
    return model


def _load_families():
    for family in _FAMILIES:
        importlib.import_module(f"gnp.model.{family}")


def _check_names(name, factory, model_params):
    parameters = inspect.signature(factory).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    known = [field for field in parameters if field not in ("num_outputs", "parent", "name")]
    for field in model_params:
        if field not in known:
            raise unknown_name(f"parameter of model {name}", field, known)
    if not inspect.isclass(factory):  # a function may have defaults that are not in its signature
        return
    missing = [f for f in known if parameters[f].default is inspect.Parameter.empty]
    missing = [field for field in missing if field not in model_params]
    if missing:
        raise UserError(
            f"Model {name} has no {' and no '.join(missing)} of its own; set "
            + " and ".join(f"model.model_params.{field}" for field in missing)
            + "."
        )
