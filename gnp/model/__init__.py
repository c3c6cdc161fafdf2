"""Image classifiers by name."""

from gnp.model.registry import _register_model, create_model, model_names, register_model

__all__ = ["_register_model", "create_model", "model_names", "register_model"]
