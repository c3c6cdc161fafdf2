"""Opens what a run writes its metrics to.

A writer has `write(step, metrics)` and `close()`.
"""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from gnp.runs.json_lines import JsonLinesWriter, open_metrics, open_timings
from gnp.runs.tensorboard_writer import TensorBoardWriter
from gnp.runs.wandb_writer import WandbWriter


class Writer(Protocol):
    """What metrics are written to."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the metrics of a step."""

    def close(self) -> None:
        """Finishes what is being written."""


class Writers:
    """Several writers as one, which leaves closing to whoever opened them."""

    def __init__(self, *writers: Writer):
        self._writers = writers

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for writer in self._writers:
            writer.write(step, metrics)


class Files(NamedTuple):
    """A writer for the metrics and one for the timings."""

    metrics: JsonLinesWriter
    timings: JsonLinesWriter


def open_writers(
    folder: pathlib.Path,
    position: Any,
    wandb_config: Mapping[str, Any] | None,
    resources: contextlib.ExitStack,
) -> tuple[Files, list[Writer]]:
    """The writers of a run's files, and those that show the run, which get metrics and timings.

    Args:
      folder: the run's folder; it exists.
      position: where the run stands, a `gnp.training.position.Position`.
      wandb_config: the run's config, to be sent to Weights & Biases; None: nothing is sent there.
      resources: closes them.

    Raises:
      UserError: a file is damaged or cannot be written; or Weights & Biases is asked for and cannot
        be used.
    """

    def opened(writer):
        resources.callback(writer.close)
        return writer

    files = Files(
        opened(
            open_metrics(folder, position.step, position.evaluated_step, position.recorded_metrics)
        ),
        opened(open_timings(folder, position.recorded_timings)),
    )
    shown = [opened(TensorBoardWriter(folder, position.step))]
    if wandb_config is not None:
        shown.append(opened(WandbWriter(folder, wandb_config)))
    return files, shown
