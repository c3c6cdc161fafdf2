"""The file data.json of a run: its classes, normalization and label noise."""

import pathlib
from typing import Any, NamedTuple

from gnp.errors import UserError
from gnp.files import json_text, read_json, write_atomically

DATA_FILE = "data.json"


class RunData(NamedTuple):
    """The training data of a run.

    Attributes:
      class_names: in the order of the labels.
      mean, std: normalization constants per channel, on the scale 0 to 1.
      label_noise: the record of `gnp.ds_pipeline.label_noise.summary`; None without label noise.
    """

    class_names: list[str]
    mean: list[float]
    std: list[float]
    label_noise: dict[str, Any] | None = None

    def check_classes(self, class_names: list[str]) -> None:
        """Checks that a data set has the run's classes.

        Raises:
          UserError: the names or their number differ.
        """
        if len(class_names) != len(self.class_names):
            raise UserError(
                f"The data set has {len(class_names)} classes, but the run was trained with "
                f"{len(self.class_names)}; choose data of the same classes."
            )
        for label, (name, ours) in enumerate(zip(class_names, self.class_names, strict=True)):
            if name != ours:
                raise UserError(
                    f"Class {label} is {name!r} in the data set, but the run was trained with "
                    f"{ours!r}; choose data of the same classes with the same names."
                )


def write_run_data(folder: pathlib.Path, source: Any) -> None:
    """Writes `data.json` into the folder of a run.

    Args:
      folder: the run's folder.
      source: the training data, a `gnp.ds_pipeline.source.DataSource`.
    """
    content = RunData(
        list(source.class_names), list(source.mean), list(source.std), source.label_noise
    )._asdict()
    if content["label_noise"] is None:
        del content["label_noise"]
    write_atomically(folder / DATA_FILE, json_text(content))


def read_run_data(folder: pathlib.Path) -> RunData | None:
    """Reads `data.json`; None if it does not exist, as in runs of older versions.

    Raises:
      UserError: the file is damaged.
    """
    file = folder / DATA_FILE
    if not file.exists():
        return None
    try:
        return RunData(**read_json(file))
    except TypeError as error:
        raise UserError(f"{file} is damaged ({error}); fix or remove it.") from error
