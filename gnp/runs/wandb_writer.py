"""Metrics of a run in Weights & Biases."""

import importlib.util
import os
import pathlib
import secrets
from collections.abc import Mapping
from typing import Any

from gnp.errors import UserError, missing_library
from gnp.files import read_text, write_atomically

WANDB_ID_FILE = "wandb_id.txt"

_PROJECT = "gnp"


def require_wandb() -> None:
    """Makes sure that the package is there.

    Raises:
      UserError: it is not.
    """
    if importlib.util.find_spec("wandb") is None:
        instead = "leave it at False"
        raise missing_library("logging.wandb=True", "the package wandb", "wandb", instead=instead)


class WandbWriter:
    """Sends metrics to one run of Weights & Biases, however often ours is started.

    What a start that was killed had sent about steps that are taken again stays there, and the same
    numbers come a second time. Account, project and mode come from wandb's own settings, such as
    `WANDB_PROJECT` (else "gnp") and `WANDB_MODE=offline`.
    """

    def __init__(self, folder: pathlib.Path, config: Mapping[str, Any]):
        """Starts or resumes the run.

        Args:
          folder: the run's folder; it keeps the run's id and what wandb stores.
          config: the resolved config.

        Raises:
          UserError: the package is missing, or does not get through to its server.
        """
        require_wandb()
        import wandb  # imported late: it takes a while, and few runs want it

        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", _PROJECT),
                id=_run_id(folder),
                resume="allow",
                dir=folder,
                config=config,
                settings=wandb.Settings(console="off"),
            )
        except wandb.Error as error:
            raise UserError(
                f"Weights & Biases cannot be used ({str(error).rstrip('.')}); run `wandb login`, "
                "set WANDB_MODE=offline, or leave logging.wandb at False."
            ) from error
        # Timings come a little later than the metrics of their steps, and wandb's own count of
        # steps never goes back; so the step is a metric like the others, and their axis.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log({"step": step, **metrics})

    def close(self) -> None:
        self._run.finish()


def _run_id(folder):
    file = folder / WANDB_ID_FILE
    if not file.exists():
        write_atomically(file, secrets.token_hex(4) + "\n")
    return read_text(file).strip()
