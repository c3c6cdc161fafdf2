"""Image classifiers by name."""

from gnp.model.registry import create_model, model_names, register_model

__all__ = ["create_model", "model_names", "register_model"]
