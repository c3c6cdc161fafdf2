"""Metrics of a run as TensorBoard events."""

import pathlib
from collections.abc import Mapping

TENSORBOARD_FOLDER = "tensorboard"


class TensorBoardWriter:
    """Writes events that hide those of the steps that are going to be taken again."""

    def __init__(self, folder: pathlib.Path, first_step: int):
        """Args:
        folder: the run's folder; it exists.
        first_step: the number of steps already taken; 0: a new run.
        """
        import tensorboardX  # imported late: it takes a while, and not every command wants it

        self._events = tensorboardX.SummaryWriter(
            str(pathlib.Path(folder) / TENSORBOARD_FOLDER), purge_step=first_step + 1
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._events.add_scalar(name, float(value), step)

    def close(self) -> None:
        self._events.close()
