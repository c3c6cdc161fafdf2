"""The default config, also without ml_collections."""

import sys
import types
from typing import Any


def get_config() -> Any:
    """Returns the config of config/base.py."""
    try:
        from config import base
    except ModuleNotFoundError as error:
        if error.name != "ml_collections":
            raise
        sys.modules["ml_collections"] = _stand_in()
        from config import base
    return base.get_config()


class _Fields(dict):
    """The part of `ml_collections.ConfigDict` that config/base.py and a run use."""

    __setattr__ = dict.__setitem__

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(name)
        return self[name]

    def to_dict(self) -> dict[str, Any]:
        return {
            name: value.to_dict() if isinstance(value, _Fields) else value
            for name, value in self.items()
        }


def _stand_in():
    module = types.ModuleType("ml_collections")
    module.ConfigDict = _Fields
    module.config_dict = types.SimpleNamespace(placeholder=lambda kind: None)
    return module
