"""Opens what a run writes its metrics to."""

import contextlib
import pathlib

from gnp.training.checkpoint import Position
from gnp.training.metrics_writer import Writers, open_metrics, open_timings
from gnp.training.tensorboard_writer import TensorBoardWriter


def open_writers(
    folder: pathlib.Path, position: Position, resources: contextlib.ExitStack
) -> tuple[Writers, Writers]:
    """Two writers, one for metrics and one for timings.

    Each has a file of its own; what shows a run while it goes on gets both.

    Args:
      folder: the run's folder; it exists.
      position: where the run stands.
      resources: closes them.
    """
    metrics = open_metrics(folder, position.step, position.evaluated_step)
    timings = open_timings(folder)
    shown = [TensorBoardWriter(folder, position.step)]
    for writer in (metrics, timings, *shown):
        resources.callback(writer.close)
    return Writers(metrics, *shown), Writers(timings, *shown)
