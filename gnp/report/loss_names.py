"""What the loss and the error of runs are called, in tables and charts."""

from collections.abc import Iterable, Mapping
from typing import Any

_DEFAULT = "cross_entropy"  # of runs of older versions, which had no other


def loss_name(config: Mapping[str, Any]) -> str:
    """What `eval/loss` of a run is.

    >>> loss_name({"loss": "binary_cross_entropy"})
    'binary cross entropy'

    Args:
      config: its config, the names of nested fields joined by dots.
    """
    name = config.get("loss", _DEFAULT)
    return "focal loss" if name == "focal" else name.replace("_", " ")


def trained_loss_name(config: Mapping[str, Any]) -> str:
    """What `train/loss` of a run is: with a teacher, another loss than that of the evaluation.

    >>> trained_loss_name({"loss": "cross_entropy", "distill.run": "runs/teacher"})
    'cross entropy, distillation'
    """
    taught = ", distillation" if config.get("distill.run") else ""
    return f"{loss_name(config)}{taught}"


def evaluated_part(configs: Iterable[Mapping[str, Any]]) -> str:
    """The images that runs are evaluated on, as the word before "error" and "loss".

    >>> evaluated_part([{"use_test_set": False}])
    'validation'

    Args:
      configs: of the runs. Some may hold out images and others use the test set.
    """
    parts = {"test" if config.get("use_test_set", True) else "validation" for config in configs}
    return " or ".join(sorted(parts))
