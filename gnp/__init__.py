"""gnp: training image classifiers with a penalty on the gradient norm, in JAX and Flax.

import gnp

run = gnp.train("digits", "runs")          # or gnp.load_run("runs/…")
run.predict(["digit.png"]).classes
gnp.value_and_grad(loss_fn, r=0.05, alpha=0.8)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnp.ds_pipeline.augment.levels import register_augmentation
    from gnp.ds_pipeline.build import register_source
    from gnp.errors import NotSavedError, TrainingError, UserError
    from gnp.main.config import load_config
    from gnp.main.run import Run, load_run, train
    from gnp.model.registry import register_model
    from gnp.optimizer.optimizers import register_optimizer
    from gnp.optimizer.schedule import register_schedule
    from gnp.regularization.gradient_norm import value_and_grad
    from gnp.training.loss import register_loss

__version__ = "0.1.0"

# What the package offers by a short name, and where it is. It is imported when it is asked for.
_PLACES = {
    "NotSavedError": "gnp.errors",
    "Run": "gnp.main.run",
    "TrainingError": "gnp.errors",
    "UserError": "gnp.errors",
    "load_config": "gnp.main.config",
    "load_run": "gnp.main.run",
    "register_augmentation": "gnp.ds_pipeline.augment.levels",
    "register_loss": "gnp.training.loss",
    "register_model": "gnp.model.registry",
    "register_optimizer": "gnp.optimizer.optimizers",
    "register_schedule": "gnp.optimizer.schedule",
    "register_source": "gnp.ds_pipeline.build",
    "train": "gnp.main.run",
    "value_and_grad": "gnp.regularization.gradient_norm",
}

__all__ = [
    "NotSavedError",
    "Run",
    "TrainingError",
    "UserError",
    "load_config",
    "load_run",
    "register_augmentation",
    "register_loss",
    "register_model",
    "register_optimizer",
    "register_schedule",
    "register_source",
    "train",
    "value_and_grad",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
