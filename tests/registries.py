"""The tables that `register_...` fills, put back after a test that registers parts of its own."""

import sys

from gnp.ds_pipeline import build
from gnp.ds_pipeline.augment import levels
from gnp.model import registry
from gnp.optimizer import optimizers, schedule
from gnp.training import loss

TABLES = (
    (registry, "_factories"),
    (optimizers, "_OPTIMIZERS"),
    (schedule, "_SCHEDULES"),
    (loss, "_LOSSES"),
    (levels, "IMAGE_LEVEL"),
    (levels, "BATCH_LEVEL"),
    (build, "_SOURCES"),
)


def forget_after(monkeypatch):
    """Restricts what is registered from here on to a test."""
    registry.model_names()  # registers those of the project
    # Processes of pytest-xdist have no program either, and are no notebooks.
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "pytest", raising=False)
    for module, table in TABLES:
        monkeypatch.setattr(module, table, dict(getattr(module, table)))
