"""Opens what a run writes its metrics to."""

import contextlib
import pathlib
from typing import Any

from gnp.runs.metrics import Writers, open_metrics, open_timings
from gnp.runs.tensorboard_writer import TensorBoardWriter
from gnp.runs.wandb_writer import WandbWriter


def open_writers(
    folder: pathlib.Path, config: Any, position: Any, resources: contextlib.ExitStack
) -> tuple[Writers, Writers]:
    """Two writers, one for metrics and one for timings.

    Each has a file of its own; what shows a run while it goes on gets both.

    Args:
      folder: the run's folder; it exists.
      config: the resolved config.
      position: where the run stands.
      resources: closes them.

    Raises:
      UserError: Weights & Biases is asked for and cannot be used.
    """

    def opened(writer):
        resources.callback(writer.close)
        return writer

    metrics = opened(open_metrics(folder, position.step, position.evaluated_step))
    timings = opened(open_timings(folder))
    shown = [opened(TensorBoardWriter(folder, position.step))]
    if config.logging.wandb:
        shown.append(opened(WandbWriter(folder, config)))
    return Writers(metrics, *shown), Writers(timings, *shown)
