"""Opens what a run writes its metrics to."""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

from gnp.runs.metrics import Writers, open_metrics, open_timings
from gnp.runs.tensorboard_writer import TensorBoardWriter
from gnp.runs.wandb_writer import WandbWriter


def open_writers(
    folder: pathlib.Path,
    first_step: int,
    evaluated_step: int,
    wandb_config: Mapping[str, Any] | None,
    resources: contextlib.ExitStack,
) -> tuple[Writers, Writers]:
    """Two writers, one for metrics and one for timings.

    Each has a file of its own; what shows a run while it trains gets both.

    Args:
      folder: the run's folder; it exists.
      first_step: the number of steps already taken.
      evaluated_step: the last step whose evaluation is not going to be made again.
      wandb_config: the run's config, to be sent to Weights & Biases; None: nothing is sent there.
      resources: closes them.

    Raises:
      UserError: Weights & Biases is asked for and cannot be used.
    """

    def opened(writer):
        resources.callback(writer.close)
        return writer

    metrics = opened(open_metrics(folder, first_step, evaluated_step))
    timings = opened(open_timings(folder))
    shown = [opened(TensorBoardWriter(folder, first_step))]
    if wandb_config is not None:
        shown.append(opened(WandbWriter(folder, wandb_config)))
    return Writers(metrics, *shown), Writers(timings, *shown)
